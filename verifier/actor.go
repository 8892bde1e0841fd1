package verifier

import (
	"slices"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// Actor is a party that acts for the subject of a token, by delegation (RFC 8693 section 4.1): an agent, or a service that calls
// another one for a user. Issuer and Subject together name it. Where Provider is not "", Provider and Subject do, in any region.
type Actor struct {
	Issuer   string // its iss, or that of the token if it has none
	Provider string // the ID of the token's provider if that lists Issuer in one of its regions, otherwise ""
	Subject  string // its sub, never empty
	Previous *Actor // who acted before it, or nil: for information, not for access decisions
}

// maxActors is how many actors a token may name.
const maxActors = 4

// readActor reads an act claim of a token of an issuer, with at most so many actors. It returns false if it is broken: a token
// whose actor cannot be read would pass for one that its user presents.
func readActor(v strictjson.Value, issuer string, most int) (*Actor, bool) {
	if most == 0 {
		return nil, false
	}
	a := &Actor{Issuer: issuer}
	var previous strictjson.Value
	for m := range v.Members() { // none if it is not an object
		switch m.Name {
		case "sub":
			a.Subject = m.Value.Text() // "" if it is not a string
		case "iss":
			if a.Issuer = m.Value.Text(); a.Issuer == "" {
				return nil, false
			}
		case "act":
			previous = m.Value
		}
	}
	ok := a.Subject != ""
	if ok && previous.Kind() != strictjson.Absent {
		a.Previous, ok = readActor(previous, issuer, most-1)
	}
	return a, ok
}

// placed sets Provider in a chain of actors, of a token of e, and returns it.
func (s *state) placed(e *issuerEntry, first *Actor) *Actor {
	for a := first; a != nil; a = a.Previous {
		own := false
		if e.alb != nil { // s knows load balancers by their ARN, which is no issuer
			own = slices.Contains(e.alb.issuers, a.Issuer)
		} else if of := s.issuers[a.Issuer]; of != nil {
			own = of.providerID == e.providerID
		}
		if a.Provider = ""; own {
			a.Provider = e.providerID
		}
	}
	return first
}

// Actor returns the current actor, who presents the token for its subject (RFC 8693 section 4.1), or nil if it has no act claim.
// The value is the caller's. See middleware.Actors and middleware.NoActor.
//
// Verify rejects a token with an act that is not an object, has no sub, has a sub or iss that is not a text or is empty, or
// names more than 4 actors. The other members can be read with Claim: "/act/client_id". The claim may_act says who may become
// the actor at the token endpoint. It is no authorization here, and is not looked at.
func (t *Token) Actor() *Actor {
	first := t.actor
	if first == nil {
		return nil
	}
	copied := *first
	for a := &copied; a.Previous != nil; a = a.Previous {
		previous := *a.Previous
		a.Previous = &previous
	}
	return &copied
}
