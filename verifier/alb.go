package verifier

import (
	"maps"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/albtoken"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// albTerms is what the policy for tokens of Application Load Balancers (the header x-amzn-oidc-data) demands. These tokens are
// not JWTs of an issuer. A load balancer signs what the issuer has said about a user, and says in the JOSE header who has
// signed, until when, for which client, and who the issuer is. Their segments are padded, and the signature is over the
// padding, too.
type albTerms struct {
	signers map[string]string // the region of each load balancer, by its ARN
	issuers []string
	clients []string // nil means any
}

// albHeader holds the parameters of the JOSE header of such a token.
type albHeader struct {
	signer, client, issuer string
	exp                    time.Time
}

var _ = albtoken.Provide(func(policy any, t albtoken.Terms) any {
	p, ok := policy.(Policy)
	if !ok {
		return policy
	}
	p.alb = &albTerms{maps.Clone(t.Signers), slices.Clone(t.Issuers), slices.Clone(t.Clients)}
	p.Audience, p.Algorithms, p.Types = InsecureAnyAudience(), []string{jose.ES256}, idTypes // see albTerms.check
	return p
})

// addALB enters the load balancers of a policy, each as the issuer of its tokens.
func (s *state) addALB(p *compiledPolicy) {
	s.alb = true
	for arn, region := range p.alb.signers {
		s.issuers[arn] = &issuerEntry{compiledPolicy: p, regions: []string{region}}
	}
}

// read reads the parameters that only these tokens have, and checks the form of kid, which becomes a part of a URL.
func (h *albHeader) read(members []strictjson.Member, kid string) (Reason, string) {
	for _, p := range [...]struct {
		name string
		into *string
	}{{"signer", &h.signer}, {"client", &h.client}, {"iss", &h.issuer}} {
		if !text(strictjson.Find(members, p.name), p.into) || *p.into == "" {
			return ReasonMalformed, p.name
		}
	}
	switch {
	case !date(strictjson.Find(members, "exp"), &h.exp):
		return ReasonMalformed, "exp"
	case !isUUID(kid):
		return ReasonMalformed, "kid"
	}
	return "", ""
}

// isUUID reports whether s is a UUID in lower case (RFC 9562 section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// complete takes iss and exp from the header. What the payload says about them must be the same. It returns the name of a claim
// that is not, or "".
func (h *albHeader) complete(c *claims) (wrong string) {
	switch {
	case c.issuerPresent && c.issuer != h.issuer:
		return "iss"
	case c.expPresent && !c.exp.Equal(h.exp):
		return "exp"
	}
	c.issuer, c.issuerPresent, c.exp, c.expPresent = h.issuer, true, h.exp, true
	return ""
}

// loadBalancerIsKnown finds the load balancer, and checks iss.
func (s *state) loadBalancerIsKnown(a *attempt) *Error {
	if a.entry = s.issuers[a.header.signer]; a.entry == nil {
		return &Error{Reason: ReasonUnknownIssuer, Detail: "signer"}
	}
	if !slices.Contains(a.entry.alb.issuers, a.claims.issuer) {
		return a.entry.reject(ReasonUnknownIssuer, "iss", nil)
	}
	return nil
}

// check checks for whom a token is. Its client is that of the header.
func (t *albTerms) check(client string, c *claims) (Reason, string) {
	if t.clients != nil && !slices.Contains(t.clients, client) {
		return ReasonBadAudience, "client"
	}
	if c.subject == "" {
		return ReasonMissingClaim, "sub"
	}
	also := c.client // of the payload; a rule for a client matches it, too
	c.client = client
	c.noteClient(also)
	return "", ""
}

// issuerKey is what the entry of a token is found by: its load balancer, or its issuer.
func (t *Token) issuerKey() string {
	if t.header.signer != "" {
		return t.header.signer
	}
	return t.issuer
}
