package verifier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/jwks"
)

// recheck judges a token again that was accepted, perhaps under an older configuration. Its age counts last: who lets a stream
// go on for a while after its token has expired still learns of everything else.
func (s *state) recheck(ctx context.Context, tok *Token) *Error {
	if tok == nil || tok.key == nil {
		return &Error{Reason: ReasonTokenMissing}
	}
	t := s.issuers[tok.issuer]
	if t == nil || t.authority != tok.authority {
		return &Error{Reason: ReasonUnknownIssuer}
	}
	now := s.now()
	aged := s.checkTime(tok, now)
	if aged == 0 {
		aged = s.checkAge(t, tok, now)
	}
	if aged == 0 {
		return s.recheckRest(ctx, t, tok)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel() // it is not worth waiting for a key
	if err := s.recheckRest(ctx, t, tok); err != nil && (err.decides() || err.ofKeys() && !tok.key.Valid()) {
		return err
	}
	return t.refuse(aged, errIssuedAt[aged])
}

// recheckRest judges everything but the age.
func (s *state) recheckRest(ctx context.Context, t *trusted, tok *Token) *Error {
	now := *tok
	if t.trust != tok.trust { // what is demanded has changed, and where claims are found
		var sc scratch
		c := &sc.claims
		if !sc.readClaims(tok.payload) {
			return t.refuse(ReasonMalformed, nil)
		}
		if reason := t.checkHeader(&tok.header, c); reason != 0 {
			return t.refuse(reason, nil)
		}
		if reason, err := t.Audience.check(tok.header.typ, c); reason != 0 {
			return t.refuse(reason, err)
		}
		if err := t.checkRequired(c); err != nil {
			return err
		}
		now.trust, now.clientID, now.clients = t.trust, c.client, c.clients
	}
	regions, failed := s.recheckKey(ctx, t, tok)
	if failed != nil {
		return failed
	}
	now.regions = regions
	if err := t.admit(&now); err != nil {
		return err
	}
	return s.checkRevoked(t, &now)
}

// recheckKey finds the regions that may have issued the token, by what is known now. A key that must not be used any longer makes
// the token bad only if the answer is complete.
func (s *state) recheckKey(ctx context.Context, t *trusted, tok *Token) ([]string, *Error) {
	q := jwks.Query{Issuer: tok.issuer, KeyID: tok.key.ID(), Algorithm: tok.header.alg, IssuedAt: tok.iat}
	r := s.lookup(ctx, q)
	i := slices.IndexFunc(r.Keys, func(k *jwks.Key) bool {
		return sound(k) && k.Thumbprint() == tok.key.Thumbprint() && (k.Algorithm() == "" || k.Algorithm() == tok.header.alg)
	})
	if i < 0 {
		r.Complete = r.Complete && !slices.ContainsFunc(r.Keys, func(k *jwks.Key) bool { return !sound(k) })
		if r.Complete && len(r.Keys) > 0 {
			return nil, t.refuse(ReasonUnknownKey, nil)
		}
		e := t.unavailable(r.Err)
		switch {
		case r.Complete && errors.Is(r.Err, jwks.ErrKeyNotAllowed):
			return nil, t.refuse(ReasonKeyNotAllowed, nil)
		case r.Complete && !errors.Is(r.Err, jwks.ErrUnknownIssuer):
			return nil, t.refuse(ReasonUnknownKey, nil)
		case r.Limited:
			e.Reason = ReasonUnknownKeyRateLimited
		}
		e.RetryAfter = max(r.RetryAfter, time.Second)
		return nil, e
	}
	regions := possible(r.Keys[i].Regions(), t.regions)
	if len(regions) == 0 {
		return nil, t.unavailable(nil)
	}
	return regions, nil
}
