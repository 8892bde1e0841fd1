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
		return nil, false, &Error{Reason: ReasonTooLarge}
	}
	h, p, sig, ok := split(raw)
	if !ok {
		return nil, false, &Error{Reason: ReasonMalformed}
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
	if r == nil || s.checkTime(r.token, now) != 0 || !r.token.key.Valid() {
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
		return nil, 0, &Error{Reason: ReasonMalformed}
	}
	t := s.issuers[c.issuer]
	if t == nil {
		return nil, 0, &Error{Reason: ReasonUnknownIssuer}
	}
	if reason := t.checkHeader(&parsed.header, c); reason != 0 {
		return nil, 0, t.refuse(reason, nil)
	}
	if reason := s.checkDates(c.exp, c.nbf, c.iat, now); reason != 0 {
		return nil, 0, t.refuse(reason, nil)
	}
	if reason, err := t.Audience.check(parsed.header.typ, c); reason != 0 {
		return nil, 0, t.refuse(reason, err)
	}
	key, regions, err := s.checkSignature(ctx, t, c, &parsed)
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
			return t.refuse(ReasonMissingClaim, errors.New(name))
		}
	}
	return nil
}

// check makes the caller's own check.
func (t *trusted) check(ctx context.Context, tok *Token) *Error {
	if t.Check == nil {
		return nil
	}
	return t.decided("Policy.Check", ReasonCheckFailed, func() error { return t.Check(ctx, tok) })
}

// refuse makes an Error of the authority.
func (t *trusted) refuse(r Reason, err error) *Error {
	return &Error{Reason: r, Provider: t.authority, Region: t.region, Err: err}
}

// checkHeader judges alg and typ, and reads the claims that the trust names.
func (t *trusted) checkHeader(h *header, c *claims) Reason {
	switch {
	case !t.readNamed(c), !c.expPresent:
		return ReasonMalformed
	case !slices.Contains(t.Algorithms, h.alg):
		return ReasonAlgNotAllowed
	case !slices.Contains(t.Types, h.typ):
		return ReasonTypNotAllowed
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
		return ReasonExpired
	case nbf.After(latest), iat.After(latest):
		return ReasonNotYetValid
	}
	return 0
}

// Bounds on what is done for one token, whatever a Source answers: how often keys are looked up, as a key set may be fetched
// while its first keys are tried, and how many keys are tried.
const (
	maxLookups    = 3
	maxCandidates = 16
)

// checkSignature finds the key, and the regions that may have signed with it. Only a complete answer makes the token bad. The
// source is told of a wrong signature even if its answer was complete: the issuer may have replaced a key under its kid.
func (s *state) checkSignature(ctx context.Context, t *trusted, c *claims, p *compact) (*jwks.Key, []string, *Error) {
	q := jwks.Query{Issuer: c.issuer, KeyID: p.header.kid, Algorithm: p.header.alg, IssuedAt: c.iat}
	var r jwks.Result
	for range maxLookups {
		r = s.lookup(ctx, q)
		before := len(q.Tried)
		for _, k := range r.Keys {
			switch {
			case !sound(k):
				r.Complete = false
			case k.Algorithm() != "" && k.Algorithm() != p.header.alg: // it was not asked for
			case slices.Contains(q.Tried, k.Thumbprint()):
			case len(q.Tried) == maxCandidates:
				r.Complete = false // it is not tried
			case jose.Verify(p.header.alg, k.Public(), p.input, p.signature) != nil:
				q.Tried = append(slices.Clip(q.Tried), k.Thumbprint())
			default:
				if regions := possible(k.Regions(), t.regions); len(regions) > 0 {
					return k, regions, nil
				}
				return nil, nil, t.unavailable(nil) // keys and trust are not of one configuration
			}
		}
		if len(q.Tried) == before {
			break
		}
	}
	return nil, nil, s.noKey(ctx, t, p, &q, &r)
}

// sound reports whether k is a key. The zero Key is none.
func sound(k *jwks.Key) (ok bool) {
	defer func() { ok = recover() == nil && ok }() //nolint:forbidigo // of the zero Key, whose methods panic
	return k != nil && k.Public() != nil
}

// mayVerify reports whether k has signed the token.
func mayVerify(k *jwks.Key, p *compact) bool {
	return (k.Algorithm() == "" || k.Algorithm() == p.header.alg) &&
		jose.Verify(p.header.alg, k.Public(), p.input, p.signature) == nil
}

// noKey says what a Result makes of a token that none of its keys verifies. An issuer that the source does not know is not the
// token's fault: keys and trust are not of one configuration.
func (s *state) noKey(ctx context.Context, t *trusted, p *compact, q *jwks.Query, r *jwks.Result) *Error {
	switch {
	case r.Complete && errors.Is(r.Err, jwks.ErrKeyNotAllowed):
		return t.refuse(ReasonKeyNotAllowed, nil)
	case r.Complete && !errors.Is(r.Err, jwks.ErrUnknownIssuer):
		if len(q.Tried) > 0 {
			return t.refuse(ReasonBadSignature, nil)
		}
		s.noteStranger(ctx, t, p)
		return t.refuse(ReasonUnknownKey, nil)
	}
	e := t.unavailable(r.Err)
	if r.Limited && !r.Complete {
		e.Reason = ReasonUnknownKeyRateLimited
	}
	e.RetryAfter = max(r.RetryAfter, time.Second)
	return e
}

// unavailable says that the keys could not be had.
func (t *trusted) unavailable(err error) *Error {
	e := t.refuse(ReasonKeysUnavailable, err)
	e.RetryAfter = time.Second
	return e
}

// possible returns the regions of the key that list the issuer.
func possible(ofKey, listing []string) []string {
	if ofKey == nil {
		return listing
	}
	for i, r := range ofKey {
		if !slices.Contains(listing, r) { // a Source that says more than the Policy: rare, so worth no cleverness
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

var errIssuedAt = map[Reason]error{ReasonMissingClaim: errors.New("iat")}

// checkAge judges MaxAge.
func (s *state) checkAge(t *trusted, tok *Token, now time.Time) Reason {
	switch {
	case t.MaxAge <= 0:
		return 0
	case tok.iat.IsZero():
		return ReasonMissingClaim
	case now.Sub(tok.iat)-s.leeway > t.MaxAge:
		return ReasonTooOld
	}
	return 0
}

// admit asks the region policy.
func (t *trusted) admit(tok *Token) *Error {
	if t.Regions == nil {
		return nil
	}
	admit := func() error { return t.Regions.Admit(t.authority, tok.regions, tok.iat) }
	return t.decided("Policy.Regions", ReasonRegionInactive, admit)
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
		e := t.refuse(ReasonRulesUnavailable, err)
		e.RetryAfter = time.Second
		return e
	}
	if rule != "" {
		return t.refuse(ReasonRevoked, nil)
	}
	return nil
}
