package verifier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/internal/verdict"
	"github.com/regionjwt/regionjwt/jwks"
)

// verify makes the checks in their order, unless the token is cached.
func (s *state) verify(ctx context.Context, raw string) (tok *Token, cached bool, err *Error) {
	now := s.now()
	var d digest
	if s.cache != nil && len(raw) <= s.maxBytes {
		d = s.cache.digest(raw)
		if tok, err := s.fromCache(ctx, now, d); tok != nil || err != nil {
			return tok, true, err
		}
	}
	a := attempts.Get().(*attempt)
	defer a.release()
	a.now, a.raw = now, raw
	for i := range checks {
		if err := checks[i].run(s, ctx, a); err != nil {
			return nil, false, err
		}
	}
	if s.cache != nil {
		s.cache.put(d, a.token, a.entry, a.rules, now)
	}
	return a.token, false, nil
}

// fromCache returns a token that was verified before and still is valid, or why it is not, or neither: then every check has to
// be made. It repeats what can change; the rest depends on the token's text, its policy and its key.
func (s *state) fromCache(ctx context.Context, now time.Time, d digest) (*Token, *Error) {
	r := s.cache.get(d)
	if r == nil || s.checkTime(r.token, now) != "" || !r.token.key.Valid() {
		return nil, nil
	}
	tok, e := r.token, r.entry
	if !tok.namesKey() && !s.stillVerifies(ctx, e, tok) {
		return nil, nil
	}
	if err := s.checkPolicy(e, tok, now); err != nil {
		return nil, err
	}
	if s.revocations != nil {
		if rules := s.revocations.now(); rules == nil || rules != r.rules.Load() {
			if err := s.checkRevoked(e, tok); err != nil {
				return nil, err
			}
			r.rules.Store(rules)
		}
	}
	if err := e.check(ctx, tok); err != nil {
		return nil, err
	}
	return tok, nil
}

// namesKey reports whether the token names the key that has verified it: nothing but that key decides about it.
func (t *Token) namesKey() bool { return t.header.kid != "" && t.header.kid == t.key.ID() }

// stillVerifies reports whether the answer for a token that does not name its key still has this very key, under its name and of
// the same regions.
func (s *state) stillVerifies(ctx context.Context, e *issuerEntry, tok *Token) bool {
	q := e.query(tok.issuer, &tok.header, tok.iat)
	q.CacheOnly = true
	r := s.lookup(ctx, q)
	i := slices.IndexFunc(r.Keys, func(k *jwks.Key) bool {
		return isKey(k) && k.Thumbprint() == tok.key.Thumbprint() && fits(k, q.Algorithm)
	})
	return i >= 0 && r.Keys[i] == tok.key && slices.Equal(e.regionsOf(tok.key, r.Keys, q.Algorithm), tok.regions)
}

// newToken makes the Token of what was checked. It does not share the memory of a.
func (s *state) newToken(a *attempt) *Token {
	e, c := a.entry, &a.claims
	tok := &Token{
		policy: e.compiledPolicy, header: a.header, payload: a.jws.Payload, text: len(a.jws.Text), key: a.key, regions: a.regions,
		issuer: c.issuer, subject: c.subject, clientID: c.client, id: c.id, bound: c.bound, scopes: c.scopes, clients: c.clients,
		exp: c.exp, nbf: c.nbf, iat: c.iat, idToken: a.idToken,
	}
	if len(c.audience.values) == 1 {
		tok.oneAudience[0] = c.audience.values[0]
		tok.audience = tok.oneAudience[:]
	} else {
		tok.audience = slices.Clone(c.audience.values)
	}
	tok.until = s.validUntil(e, tok)
	return tok
}

// validUntil is the time from which the token is too old.
func (s *state) validUntil(e *issuerEntry, tok *Token) time.Time {
	until := tok.exp
	if e.MaxAge > 0 && tok.iat.Add(e.MaxAge).Before(until) {
		until = tok.iat.Add(e.MaxAge)
	}
	return until.Add(s.leeway)
}

// reject makes an Error that names the provider.
func (e *issuerEntry) reject(r Reason, detail string, cause error) *Error {
	err := &Error{Reason: r, Provider: e.providerID, Detail: detail, Err: cause}
	if len(e.regions) == 1 {
		err.Region = e.regions[0]
	}
	return err
}

// rejectIf returns nil if there is no reason.
func (e *issuerEntry) rejectIf(r Reason, detail string) *Error {
	if r == "" {
		return nil
	}
	return e.reject(r, detail, nil)
}

// checkHeader checks alg and typ, and reads the claims that the policy names.
func (e *issuerEntry) checkHeader(h *header, c *claims) (Reason, string) {
	if wrong := e.readNamed(c); wrong != "" {
		return ReasonMalformed, wrong
	}
	switch {
	case h.kid == "" && !e.AllowMissingKeyID:
		return ReasonMalformed, missingKeyID
	case !c.expPresent:
		return ReasonMalformed, "exp"
	case !slices.Contains(e.Algorithms, h.alg):
		return ReasonAlgNotAllowed, "alg, see Policy.Algorithms"
	case !slices.Contains(e.Types, h.typ):
		return ReasonTypNotAllowed, "typ, see Policy.Types"
	}
	return "", ""
}

func (s *state) checkTime(tok *Token, now time.Time) Reason {
	return s.checkDates(tok.exp, tok.nbf, tok.iat, now)
}

// checkDates checks exp, nbf and iat (RFC 7519 sections 4.1.4 to 4.1.6).
func (s *state) checkDates(exp, nbf, iat, now time.Time) Reason {
	latest := now.Add(s.leeway)
	switch {
	case !now.Before(exp.Add(s.leeway)):
		return ReasonExpired
	case nbf.After(latest), iat.After(latest):
		return ReasonNotYetValid
	}
	return ""
}

// isKey reports whether k is a key. The zero Key is none.
func isKey(k *jwks.Key) bool { return k != nil && k.Public() != nil }

// noKey says what a Result makes of a token that none of its keys verifies. An issuer that the key source does not know is not
// the token's fault: keys and policies are not of one configuration.
func (e *issuerEntry) noKey(r *jwks.Result, tried bool) *Error {
	switch {
	case !r.Complete, errors.Is(r.Err, jwks.ErrUnknownIssuer):
		rejected := e.unavailable(r.Err)
		if r.Limited && !r.Complete {
			rejected.Reason = ReasonUnknownKeyRateLimited
		}
		rejected.RetryAfter = max(r.RetryAfter, time.Second)
		return rejected
	case errors.Is(r.Err, verdict.ErrManyKeys):
		return e.reject(ReasonMalformed, missingKeyID, nil)
	case errors.Is(r.Err, jwks.ErrKeyNotAllowed):
		return e.reject(ReasonKeyNotAllowed, "", nil)
	case tried:
		return e.reject(ReasonBadSignature, "", nil)
	}
	return e.reject(ReasonUnknownKey, "", nil)
}

// unavailable says that the keys could not be fetched.
func (e *issuerEntry) unavailable(cause error) *Error {
	rejected := e.reject(ReasonKeysUnavailable, "", cause)
	rejected.RetryAfter = time.Second
	return rejected
}

// commonRegions returns the regions of the key that list the issuer.
func commonRegions(ofKey, listing []string) []string {
	if ofKey == nil {
		return listing
	}
	for i, r := range ofKey {
		if !slices.Contains(listing, r) { // rare: a key source that names more regions than the Policy has
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

// checkRequired looks for the claims that must be present.
func (e *issuerEntry) checkRequired(c *claims) *Error {
	for _, name := range e.RequiredClaims {
		if v := at(c.members, name); v.Kind() == strictjson.Absent || v.Kind() == strictjson.Null {
			return e.reject(ReasonMissingClaim, name, nil)
		}
	}
	return nil
}

// checkPolicy checks the age and the regions, each time that a token is used.
func (s *state) checkPolicy(e *issuerEntry, tok *Token, now time.Time) *Error {
	if err := e.rejectIf(s.checkAge(e, tok, now)); err != nil {
		return err
	}
	return e.checkRegions(tok)
}

// checkAge checks MaxAge.
func (s *state) checkAge(e *issuerEntry, tok *Token, now time.Time) (Reason, string) {
	switch {
	case e.MaxAge <= 0:
		return "", ""
	case tok.iat.IsZero():
		return ReasonMissingClaim, "iat"
	case now.Sub(tok.iat)-s.leeway > e.MaxAge:
		return ReasonTooOld, ""
	}
	return "", ""
}

// checkLifetime checks MaxLifetime. Both dates are the issuer's, so there is no leeway.
func (e *issuerEntry) checkLifetime(tok *Token) (Reason, string) {
	switch {
	case e.MaxLifetime <= 0:
		return "", ""
	case tok.iat.IsZero():
		return ReasonMissingClaim, "iat"
	case tok.exp.Sub(tok.iat) > e.MaxLifetime:
		return ReasonTooOld, "exp"
	}
	return "", ""
}

// checkRegions calls the region policy.
func (e *issuerEntry) checkRegions(tok *Token) *Error {
	if e.RegionPolicy == nil {
		return nil
	}
	return e.decide("Policy.RegionPolicy", ReasonRegionInactive, func() error {
		return e.RegionPolicy(e.providerID, tok.regions, tok.iat)
	})
}

// check calls Policy.Check.
func (e *issuerEntry) check(ctx context.Context, tok *Token) *Error {
	if e.Check == nil {
		return nil
	}
	return e.decide("Policy.Check", ReasonCheckFailed, func() error { return e.Check(ctx, tok) })
}
