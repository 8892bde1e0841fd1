package verifier

import (
	"context"
	"slices"

	"github.com/regionjwt/regionjwt/jwks"
)

// recheck checks a token again that was accepted, perhaps under an older configuration. Its age is checked last: a stream may go
// on for a while after its token has expired, and then still learns of everything else.
func (s *state) recheck(ctx context.Context, tok *Token) *Error {
	if tok == nil || tok.key == nil {
		return &Error{Reason: ReasonTokenMissing}
	}
	e := s.issuers[tok.issuerKey()]
	if e == nil || e.providerID != tok.policy.providerID || s.alb && e.compiledPolicy != tok.policy {
		return &Error{Reason: ReasonUnknownIssuer}
	}
	now := s.now()
	aged, detail := s.checkTime(tok, now), ""
	if aged == "" {
		aged, detail = s.checkAge(e, tok, now)
	}
	waiting := ctx
	if aged != "" {
		var cancel context.CancelFunc
		waiting, cancel = context.WithCancel(ctx)
		cancel() // it is not worth waiting for a key
	}
	judged, err := s.recheckRest(waiting, e, tok)
	if err == nil {
		err = e.check(ctx, judged)
	}
	if aged == "" || err != nil && (err.decides() || err.keysMissing() && !tok.key.Valid()) {
		return err
	}
	return e.reject(aged, detail, nil)
}

// recheckRest checks everything but the age and Policy.Check. It returns the token as it is judged now.
func (s *state) recheckRest(ctx context.Context, e *issuerEntry, tok *Token) (*Token, *Error) {
	now := *tok
	if e.compiledPolicy != tok.policy { // its demands have changed, and where claims are found
		var a attempt
		c := &a.claims
		if wrong, ok := a.readClaims(tok.payload); !ok {
			return nil, e.reject(ReasonMalformed, wrong, nil)
		}
		if err := e.rejectIf(e.checkHeader(&tok.header, c)); err != nil {
			return nil, err
		}
		audience := e.checkAudience(tok.header.typ, c)
		if err := e.rejectIf(audience.reason, audience.detail); err != nil {
			return nil, err
		}
		if err := e.checkRequired(c); err != nil {
			return nil, err
		}
		if err := e.rejectIf(e.checkLifetime(tok)); err != nil {
			return nil, err
		}
		now.policy, now.clientID, now.clients, now.idToken = e.compiledPolicy, c.client, c.clients, audience.client
		now.scopes, now.until = c.scopes, s.validUntil(e, tok)
		now.actor = s.placed(e, tok.Actor())
	}
	if tok.key.ID() == "" && tok.header.kid != "" && !e.AllowMissingKeyID {
		return nil, e.reject(ReasonUnknownKey, "", nil)
	}
	regions, rejected := s.recheckKey(ctx, e, tok)
	if rejected != nil {
		return nil, rejected
	}
	now.regions = regions
	if err := e.checkRegions(&now); err != nil {
		return nil, err
	}
	return &now, s.checkRevoked(e, &now)
}

// recheckKey finds the regions that may have issued the token, by what is known now. It asks as Verify does. A key that must not
// be used any longer makes the token bad only if the answer is complete.
func (s *state) recheckKey(ctx context.Context, e *issuerEntry, tok *Token) ([]string, *Error) {
	q := e.query(tok.issuer, &tok.header, tok.iat)
	var r jwks.Result
	for range maxLookups {
		r = s.lookup(ctx, q)
		before := len(q.Tried)
		for _, k := range r.Keys {
			switch {
			case !isKey(k):
				r.Complete = false
			case !fits(k, q.Algorithm), slices.Contains(q.Tried, k.Thumbprint()):
			case k.Thumbprint() != tok.key.Thumbprint():
				q.Tried = append(slices.Clip(q.Tried), k.Thumbprint())
			default:
				if regions := e.regionsOf(k, r.Keys, q.Algorithm); len(regions) > 0 {
					return regions, nil
				}
				return nil, e.unavailable(nil)
			}
		}
		if len(q.Tried) == before {
			break
		}
	}
	return nil, e.noKey(&r, false)
}
