package verifier

import (
	"context"
	"errors"
	"slices"

	"github.com/regionjwt/regionjwt/jwks"
)

// recheck judges a token again that was accepted, perhaps under an older configuration. Its age counts last: who lets a stream
// go on for a while after its token has expired still learns of everything else.
func (s *state) recheck(ctx context.Context, tok *Token) *Error {
	if tok == nil || tok.key == nil {
		return &Error{Reason: TokenMissing}
	}
	t := s.issuers[tok.issuer]
	if t == nil || t.authority != tok.authority {
		return &Error{Reason: UnknownIssuer}
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
	if err := s.recheckRest(ctx, t, tok); err != nil && !errors.Is(err, ErrUnavailable) {
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
			return t.refuse(Malformed, nil)
		}
		if reason := t.checkHeader(&tok.header, c); reason != 0 {
			return t.refuse(reason, nil)
		}
		if reason, err := t.Binding.check(tok.header.typ, c); reason != 0 {
			return t.refuse(reason, err)
		}
		if err := t.checkRequired(c); err != nil {
			return err
		}
		now.trust, now.clientID, now.clients = t.trust, c.client, c.clients
	}
	keys, err := s.keys.Keys(ctx, tok.issuer, tok.key.ID)
	if err != nil {
		return t.keyError(err)
	}
	i := slices.IndexFunc(keys, func(k *jwks.Key) bool {
		return k.Thumbprint == tok.key.Thumbprint && (k.Algorithm == "" || k.Algorithm == tok.header.alg)
	})
	if i < 0 {
		return t.refuse(UnknownKey, nil)
	}
	// The regions that may have minted it are judged by what is known now.
	if now.regions = possible(keys[i].Regions, t.regions); len(now.regions) == 0 {
		return t.keyError(jwks.ErrUnavailable)
	}
	if err := t.admit(&now); err != nil {
		return err
	}
	return s.checkRevoked(t, &now)
}
