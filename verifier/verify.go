package verifier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks"
)

// verify makes the checks in the order that the package documentation lists.
func (s *state) verify(ctx context.Context, raw string) (*Token, *Error) {
	if len(raw) > s.max {
		return nil, &Error{Reason: TooLarge}
	}
	parsed, reason := parseCompact(raw)
	if reason != 0 {
		return nil, &Error{Reason: reason}
	}
	c, ok := readClaims(parsed.payload)
	if !ok || !c.issuerPresent {
		return nil, &Error{Reason: Malformed}
	}
	t := s.issuers[c.issuer]
	if t == nil {
		return nil, &Error{Reason: UnknownIssuer}
	}
	now := s.now()
	tok := newToken(t, parsed.header, parsed.payload, c)
	if reason, err := s.checkClaims(t, c, tok, now); reason != 0 {
		return nil, t.refuse(reason, err)
	}
	if err := s.checkSignature(ctx, t, parsed, tok); err != nil {
		return nil, err
	}
	if err := t.checkRequired(c); err != nil {
		return nil, err
	}
	if err := s.checkLife(t, tok, now); err != nil {
		return nil, err
	}
	if t.Check != nil {
		if err := t.Check(ctx, tok); err != nil {
			return nil, t.refuse(CheckFailed, err)
		}
	}
	return tok, nil
}

func newToken(t *trusted, h header, payload []byte, c *claims) *Token {
	return &Token{
		trust: t.trust, authority: t.authority, header: h, payload: payload,
		issuer: c.issuer, subject: c.subject, id: c.id, use: c.use, audience: c.audience.values,
		exp: c.exp, nbf: c.nbf, iat: c.iat,
	}
}

// checkRequired looks for the claims that have to be there.
func (t *trusted) checkRequired(c *claims) *Error {
	for _, name := range t.RequiredClaims {
		if v := at(c.members, name); v.Kind() == strictjson.Absent || v.Kind() == strictjson.Null {
			return t.refuse(MissingClaim, errors.New(name))
		}
	}
	return nil
}

// refuse makes an Error of the authority.
func (t *trusted) refuse(r Reason, err error) *Error {
	return &Error{Reason: r, Authority: t.authority, Region: t.region, Err: err}
}

// checkClaims makes the checks that need neither keys nor the network.
func (s *state) checkClaims(t *trusted, c *claims, tok *Token, now time.Time) (Reason, error) {
	if !t.readNamed(c, tok) || !c.expPresent {
		return Malformed, nil
	}
	if !slices.Contains(t.Algorithms, tok.header.alg) {
		return UnsupportedAlg, nil
	}
	if !slices.Contains(t.Types, tok.header.typ) {
		return BadType, nil
	}
	if r := s.checkTime(tok, now); r != 0 {
		return r, nil
	}
	return t.Binding.check(c)
}

// checkTime judges exp, nbf and iat: RFC 7519, sections 4.1.4 to 4.1.6.
func (s *state) checkTime(tok *Token, now time.Time) Reason {
	switch {
	case !now.Before(tok.exp.Add(s.leeway)):
		return Expired
	case tok.nbf.After(now.Add(s.leeway)), tok.iat.After(now.Add(s.leeway)):
		return NotYetValid
	}
	return 0
}

// checkSignature finds the key and notes it in tok.
func (s *state) checkSignature(ctx context.Context, t *trusted, p *compact, tok *Token) *Error {
	keys, err := s.keys.Keys(ctx, tok.issuer, p.header.kid)
	if err != nil {
		return t.keyError(err)
	}
	input := []byte(p.input)
	reason := UnsupportedAlg
	for _, k := range keys {
		if k.Algorithm != "" && k.Algorithm != p.header.alg {
			continue
		}
		switch err := jose.Verify(p.header.alg, k.Public, input, p.signature); {
		case err == nil:
			tok.key = k
			tok.regions = possible(k.Regions, t.regions)
			if len(tok.regions) == 0 { // keys and trust are not of one configuration
				return t.keyError(jwks.ErrUnavailable)
			}
			return nil
		case errors.Is(err, jose.ErrSignature):
			reason = BadSignature
		}
	}
	if s.doubter != nil {
		if err := s.doubter.Doubt(tok.issuer, p.header.kid); err != nil {
			return t.keyError(err)
		}
	}
	return t.refuse(reason, nil)
}

// keyError tells a key that does not exist from one that could not be had: everything but certainty is the latter.
func (t *trusted) keyError(err error) *Error {
	if errors.Is(err, jwks.ErrUnknownKey) {
		return t.refuse(UnknownKey, nil)
	}
	e := t.refuse(KeysUnavailable, err)
	e.RetryAfter = time.Second
	var unavailable *jwks.UnavailableError
	if errors.As(err, &unavailable) {
		e.RetryAfter = max(unavailable.RetryAfter, time.Second)
	}
	return e
}

// possible returns the regions of the key that list the issuer.
func possible(ofKey, listing []string) []string {
	if ofKey == nil {
		return listing
	}
	for i, r := range ofKey {
		if !slices.Contains(listing, r) { // a Source that says more than the Trust: rare, so worth no cleverness
			kept := append([]string(nil), ofKey[:i]...)
			for _, r := range ofKey[i+1:] {
				if slices.Contains(listing, r) {
					kept = append(kept, r)
				}
			}
			return kept
		}
	}
	return ofKey
}

// checkLife makes the checks that are made again whenever a token is used again.
func (s *state) checkLife(t *trusted, tok *Token, now time.Time) *Error {
	if t.MaxAge > 0 {
		if tok.iat.IsZero() {
			return t.refuse(MissingClaim, errors.New("iat"))
		}
		if now.Sub(tok.iat)-s.leeway > t.MaxAge {
			return t.refuse(TooOld, nil)
		}
	}
	if t.Regions != nil {
		if err := t.Regions.Admit(t.authority, tok.regions, tok.iat); err != nil {
			e := t.refuse(RegionInactive, err)
			if errors.Is(e, ErrUnavailable) {
				e.RetryAfter = time.Second
			}
			return e
		}
	}
	if s.revoked == nil {
		return nil
	}
	rule, err := s.revoked.Revoked(tok)
	if err != nil {
		e := t.refuse(RulesUnavailable, err)
		e.RetryAfter = time.Second
		return e
	}
	if rule != "" {
		return t.refuse(Revoked, nil)
	}
	return nil
}

// recheck judges a token again that was accepted, perhaps under an older configuration.
func (s *state) recheck(ctx context.Context, tok *Token) *Error {
	if tok == nil || tok.key == nil {
		return &Error{Reason: TokenMissing}
	}
	t := s.issuers[tok.issuer]
	if t == nil || t.authority != tok.authority {
		return &Error{Reason: UnknownIssuer}
	}
	now := s.now()
	if r := s.checkTime(tok, now); r != 0 {
		return t.refuse(r, nil)
	}
	if t.trust != tok.trust { // what is demanded has changed
		c, ok := readClaims(tok.payload)
		if !ok {
			return t.refuse(Malformed, nil)
		}
		if reason, err := s.checkClaims(t, c, newToken(t, tok.header, tok.payload, c), now); reason != 0 {
			return t.refuse(reason, err)
		}
		if err := t.checkRequired(c); err != nil {
			return err
		}
	}
	keys, err := s.keys.Keys(ctx, tok.issuer, tok.key.ID)
	if err != nil {
		return t.keyError(err)
	}
	alive := false
	for _, k := range keys {
		alive = alive || k.Thumbprint == tok.key.Thumbprint && (k.Algorithm == "" || k.Algorithm == tok.header.alg)
	}
	if !alive {
		return t.refuse(UnknownKey, nil)
	}
	return s.checkLife(t, tok, now)
}
