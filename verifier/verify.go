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
func (s *state) verify(ctx context.Context, raw string) (tok *Token, remembered bool, err *Error) {
	if len(raw) > s.max {
		return nil, false, &Error{Reason: TooLarge}
	}
	h, p, sig, ok := split(raw)
	if !ok {
		return nil, false, &Error{Reason: Malformed}
	}
	now := s.now()
	if s.cache == nil {
		tok, _, err := s.verifyAnew(ctx, now, raw, h, p, sig)
		return tok, false, err
	}
	d := s.cache.digest(raw)
	if tok, err := s.recall(ctx, now, d); tok != nil || err != nil {
		return tok, true, err
	}
	tok, version, err := s.verifyAnew(ctx, now, raw, h, p, sig)
	if err == nil {
		s.cache.remember(d, tok, s.issuers[tok.issuer], version, now)
	}
	return tok, false, err
}

// recall returns a token that was verified before and still is valid, or why it is not, or neither: then all has to be
// checked anew. Whatever can change since is judged again; the rest is the token's text, its trust and its key.
func (s *state) recall(ctx context.Context, now time.Time, d digest) (*Token, *Error) {
	r := s.cache.find(d)
	if r == nil || s.checkTime(r.token, now) != 0 || !s.holds(ctx, r.token) {
		return nil, nil
	}
	tok, t := r.token, r.trusted
	if err := s.checkPolicies(t, tok, now); err != nil {
		return nil, err
	}
	if version := s.version(); version != r.version.Load() {
		if err := s.checkRevoked(t, tok); err != nil {
			return nil, err
		}
		r.version.Store(version)
	}
	if err := t.check(ctx, tok); err != nil {
		return nil, err
	}
	return tok, nil
}

// holds reports whether the key that verified tok still is one with which it would be.
func (s *state) holds(ctx context.Context, tok *Token) bool {
	if s.holder != nil {
		return s.holder.Holds(tok.issuer, tok.key)
	}
	keys, err := s.keys.Keys(ctx, tok.issuer, tok.key.ID)
	return err == nil && slices.Contains(keys, tok.key)
}

// verifyAnew checks the three parts of raw. It also returns the version of the revocation rules by which it judged.
func (s *state) verifyAnew(ctx context.Context, now time.Time, raw, h, p, sig string) (*Token, uint64, *Error) {
	sc := scratches.Get().(*scratch)
	defer sc.release()
	var parsed compact
	if reason := parsed.parse(sc, raw, h, p, sig); reason != 0 {
		return nil, 0, &Error{Reason: reason}
	}
	c := &sc.claims
	if !sc.readClaims(parsed.payload) || !c.issuerPresent {
		return nil, 0, &Error{Reason: Malformed}
	}
	t := s.issuers[c.issuer]
	if t == nil {
		return nil, 0, &Error{Reason: UnknownIssuer}
	}
	if reason := t.checkHeader(&parsed.header, c); reason != 0 {
		return nil, 0, t.refuse(reason, nil)
	}
	if reason := s.checkDates(c.exp, c.nbf, c.iat, now); reason != 0 {
		return nil, 0, t.refuse(reason, nil)
	}
	if reason, err := t.Binding.check(parsed.header.typ, c); reason != 0 {
		return nil, 0, t.refuse(reason, err)
	}
	key, regions, err := s.checkSignature(ctx, t, c.issuer, &parsed)
	if err != nil {
		return nil, 0, err
	}
	if err := t.checkRequired(c); err != nil {
		if len(regions) == 1 {
			err.Region = regions[0]
		}
		s.drifted(ctx, t, regions, DriftMissingClaim, err.Err.Error())
		return nil, 0, err
	}
	tok := s.newToken(t, &parsed, c)
	tok.key, tok.regions = key, regions
	version := s.version() // before the question, so that no change is missed
	if err := s.checkLife(t, tok, now); err != nil {
		return nil, 0, err
	}
	return tok, version, t.check(ctx, tok)
}

// newToken makes the Token of what was checked. It does not share the memory of c.
func (s *state) newToken(t *trusted, p *compact, c *claims) *Token {
	tok := &Token{
		trust: t.trust, authority: t.authority, header: p.header, payload: p.payload, text: len(p.text),
		issuer: c.issuer, subject: c.subject, clientID: c.client, id: c.id, use: c.use, scopes: c.scopes, clients: c.clients,
		exp: c.exp, nbf: c.nbf, iat: c.iat,
	}
	if len(c.audience.values) == 1 {
		tok.oneAudience[0] = c.audience.values[0]
		tok.audience = tok.oneAudience[:]
	} else {
		tok.audience = slices.Clone(c.audience.values)
	}
	tok.until = tok.exp
	if t.MaxAge > 0 && tok.iat.Add(t.MaxAge).Before(tok.until) {
		tok.until = tok.iat.Add(t.MaxAge)
	}
	tok.until = tok.until.Add(s.leeway)
	return tok
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

// check makes the caller's own check.
func (t *trusted) check(ctx context.Context, tok *Token) *Error {
	if t.Check == nil {
		return nil
	}
	return t.decided("Trust.Check", CheckFailed, func() error { return t.Check(ctx, tok) })
}

// refuse makes an Error of the authority.
func (t *trusted) refuse(r Reason, err error) *Error {
	return &Error{Reason: r, Authority: t.authority, Region: t.region, Err: err}
}

// checkHeader judges alg and typ, and reads the claims that the trust names.
func (t *trusted) checkHeader(h *header, c *claims) Reason {
	switch {
	case !t.readNamed(c), !c.expPresent:
		return Malformed
	case !slices.Contains(t.Algorithms, h.alg):
		return UnsupportedAlg
	case !slices.Contains(t.Types, h.typ):
		return BadType
	}
	return 0
}

func (s *state) checkTime(tok *Token, now time.Time) Reason {
	return s.checkDates(tok.exp, tok.nbf, tok.iat, now)
}

// checkDates judges exp, nbf and iat: RFC 7519, sections 4.1.4 to 4.1.6.
func (s *state) checkDates(exp, nbf, iat, now time.Time) Reason {
	latest := now.Add(s.leeway)
	switch {
	case !now.Before(exp.Add(s.leeway)):
		return Expired
	case nbf.After(latest), iat.After(latest):
		return NotYetValid
	}
	return 0
}

// checkSignature finds the key, and the regions that may have signed with it.
func (s *state) checkSignature(ctx context.Context, t *trusted, iss string, p *compact) (*jwks.Key, []string, *Error) {
	keys, err := s.keys.Keys(ctx, iss, p.header.kid)
	if err != nil {
		if errors.Is(err, jwks.ErrUnknownKey) {
			s.noteStranger(ctx, t, p)
		}
		return nil, nil, t.keyError(err)
	}
	reason := UnsupportedAlg
	for _, k := range keys {
		if k.Algorithm != "" && k.Algorithm != p.header.alg {
			continue
		}
		switch err := jose.Verify(p.header.alg, k.Public, p.input, p.signature); {
		case err == nil:
			regions := possible(k.Regions, t.regions)
			if len(regions) == 0 { // keys and trust are not of one configuration
				return nil, nil, t.keyError(jwks.ErrUnavailable)
			}
			return k, regions, nil
		case errors.Is(err, jose.ErrSignature):
			reason = BadSignature
		}
	}
	if s.doubter != nil {
		if err := s.doubter.Doubt(iss, p.header.kid); err != nil {
			return nil, nil, t.keyError(err)
		}
	}
	return nil, nil, t.refuse(reason, nil)
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
	if err := s.checkPolicies(t, tok, now); err != nil {
		return err
	}
	return s.checkRevoked(t, tok)
}

// checkPolicies judges the age and the regions.
func (s *state) checkPolicies(t *trusted, tok *Token, now time.Time) *Error {
	if r := s.checkAge(t, tok, now); r != 0 {
		return t.refuse(r, errIssuedAt[r])
	}
	return t.admit(tok)
}

var errIssuedAt = map[Reason]error{MissingClaim: errors.New("iat")}

// checkAge judges MaxAge.
func (s *state) checkAge(t *trusted, tok *Token, now time.Time) Reason {
	switch {
	case t.MaxAge <= 0:
		return 0
	case tok.iat.IsZero():
		return MissingClaim
	case now.Sub(tok.iat)-s.leeway > t.MaxAge:
		return TooOld
	}
	return 0
}

// admit asks the region policy.
func (t *trusted) admit(tok *Token) *Error {
	if t.Regions == nil {
		return nil
	}
	return t.decided("Trust.Regions", RegionInactive, func() error { return t.Regions.Admit(t.authority, tok.regions, tok.iat) })
}

// version is that of the revocation rules.
func (s *state) version() uint64 {
	if s.revoked == nil {
		return 0
	}
	return s.revoked.Version()
}

func (s *state) checkRevoked(t *trusted, tok *Token) *Error {
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
