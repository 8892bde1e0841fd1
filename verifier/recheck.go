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
	e := s.issuers[tok.issuer]
	if e == nil || e.providerID != tok.policy.providerID {
		return &Error{Reason: ReasonUnknownIssuer}
	}
	now := s.now()
	aged, detail := s.checkTime(tok, now), ""
	if aged == "" {
		aged, detail = s.checkAge(e, tok, now)
	}
	if aged == "" {
		return s.recheckRest(ctx, e, tok)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel() // it is not worth waiting for a key
	if err := s.recheckRest(ctx, e, tok); err != nil && (err.decides() || err.keysMissing() && !tok.key.Valid()) {
		return err
	}
	return e.reject(aged, detail, nil)
}

// recheckRest checks everything but the age.
func (s *state) recheckRest(ctx context.Context, e *issuerEntry, tok *Token) *Error {
	now := *tok
	if e.compiledPolicy != tok.policy { // its demands have changed, and where claims are found
		var a attempt
		c := &a.claims
		if wrong, ok := a.readClaims(tok.payload); !ok {
			return e.reject(ReasonMalformed, wrong, nil)
		}
		if err := e.rejectIf(e.checkHeader(&tok.header, c)); err != nil {
			return err
		}
		audience := e.checkAudience(tok.header.typ, c)
		if err := e.rejectIf(audience.reason, audience.detail); err != nil {
			return err
		}
		if err := e.checkRequired(c); err != nil {
			return err
		}
		if err := e.rejectIf(e.checkLifetime(tok)); err != nil {
			return err
		}
		now.policy, now.clientID, now.clients, now.idToken = e.compiledPolicy, c.client, c.clients, audience.id
	}
	if tok.key.ID() == "" && tok.header.kid != "" && !e.AllowMissingKeyID {
		return e.reject(ReasonUnknownKey, "", nil)
	}
	regions, rejected := s.recheckKey(ctx, e, tok)
	if rejected != nil {
		return rejected
	}
	now.regions = regions
	if err := e.checkRegions(&now); err != nil {
		return err
	}
	return s.checkRevoked(e, &now)
}

// recheckKey finds the regions that may have issued the token, by what is known now. A key that must not be used any longer makes
// the token bad only if the answer is complete.
func (s *state) recheckKey(ctx context.Context, e *issuerEntry, tok *Token) ([]string, *Error) {
	q := jwks.Query{Issuer: tok.issuer, KeyID: tok.key.ID(), Algorithm: tok.header.alg, IssuedAt: tok.iat}
	r := s.lookup(ctx, q)
	i := slices.IndexFunc(r.Keys, func(k *jwks.Key) bool {
		return isKey(k) && k.Thumbprint() == tok.key.Thumbprint() && (k.Algorithm() == "" || k.Algorithm() == tok.header.alg)
	})
	if i < 0 {
		r.Complete = r.Complete && !slices.ContainsFunc(r.Keys, func(k *jwks.Key) bool { return !isKey(k) })
		if r.Complete && len(r.Keys) > 0 {
			return nil, e.reject(ReasonUnknownKey, "", nil)
		}
		return nil, e.noKey(&r, false)
	}
	regions := commonRegions(r.Keys[i].Regions(), e.regions)
	if len(regions) == 0 {
		return nil, e.unavailable(nil)
	}
	return regions, nil
}
