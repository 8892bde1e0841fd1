package verifier

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/joined"
)

// Revocation tells which tokens are revoked. It is safe for concurrent use. If it panics, the rules are not known.
type Revocation interface {
	// Revoked returns the ID of the rule that t matches, or "". An error says that the rules are not known.
	Revoked(t *Token) (ruleID string, err error)
	// Changed returns a channel that is closed after the next change of what Revoked returns. If it is nil, changes are not
	// announced: Revoked is called for every token, and open streams do not end early.
	Changed() <-chan struct{}
}

// revocations asks each Revocation about a token once for each change of the rules.
type revocations struct {
	all     []Revocation
	current atomic.Pointer[rules]
}

// rules are the rules between two changes. A token that they do not match need not be asked about again until one of the channels
// is closed.
type rules struct {
	changed []<-chan struct{}
}

func newRevocations(r Revocation) *revocations {
	if r == nil {
		return nil
	}
	if several, ok := r.(joined.Of[*Token, Revocation]); ok {
		return &revocations{all: slices.Clone(several)}
	}
	return &revocations{all: []Revocation{r}}
}

// now returns the rules of now, or nil if nobody would say that they have changed.
func (r *revocations) now() *rules {
	if r == nil {
		return nil
	}
	if current := r.current.Load(); current != nil && !current.over() {
		return current
	}
	next := &rules{changed: r.changed()}
	if slices.Contains(next.changed, nil) {
		return nil
	}
	r.current.Store(next) // of two at once, either will do: the channels are taken before Revoked is called
	return next
}

// over reports whether the rules have changed.
func (r *rules) over() bool {
	for _, ch := range r.changed {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

// changed returns the channel of each Revocation; nil stands for one that does not announce changes.
func (r *revocations) changed() []<-chan struct{} {
	if r == nil {
		return nil
	}
	all := make([]<-chan struct{}, len(r.all))
	for i, one := range r.all {
		guard.Report(guard.Call("Config.Revocation", func() { all[i] = one.Changed() }))
	}
	return all
}

func (r *revocations) revoked(t *Token) (ruleID string, failed error) {
	for _, one := range r.all {
		var id string
		var err error
		if p := guard.Call("Config.Revocation", func() { id, err = one.Revoked(t) }); p != nil {
			err = p
		}
		switch err = guard.Sound("the error of Config.Revocation", err); {
		case err != nil:
			failed = err
		case id != "":
			return id, nil
		}
	}
	return "", failed
}

// checkRevoked asks whether a rule matches the token.
func (s *state) checkRevoked(e *issuerEntry, tok *Token) *Error {
	if s.revocations == nil {
		return nil
	}
	id, err := s.revocations.revoked(tok)
	switch {
	case err != nil:
		rejected := e.reject(ReasonRulesUnavailable, "", err)
		rejected.RetryAfter = time.Second
		return rejected
	case id != "":
		return e.reject(ReasonRevoked, id, nil)
	}
	return nil
}
