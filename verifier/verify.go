package verifier

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/internal/verdict"
	"github.com/regionjwt/regionjwt/jwks"
)

// verify makes the checks in the order of the package documentation.
func (s *state) verify(ctx context.Context, raw string) (tok *Token, cached bool, err *Error) {
	if len(raw) > s.maxBytes {
		return nil, false, &Error{Reason: ReasonMalformed, Detail: "size, see Config.MaxTokenBytes"}
	}
	h, p, sig, ok := split(raw)
	if !ok {
		return nil, false, &Error{Reason: ReasonMalformed}
	}
	now := s.now()
	if s.cache == nil {
		tok, _, err := s.verifyUncached(ctx, now, raw, h, p, sig)
		return tok, false, err
	}
	d := s.cache.digest(raw)
	if tok, err := s.fromCache(ctx, now, d); tok != nil || err != nil {
		return tok, true, err
	}
	tok, judged, err := s.verifyUncached(ctx, now, raw, h, p, sig)
	if err == nil {
		s.cache.put(d, tok, s.issuers[tok.issuer], judged, now)
	}
	return tok, false, err
}

// fromCache returns a token that was verified before and still is valid, or why it is not, or neither: then every check has to
// be made. It repeats what can change; the rest depends on the token's text, its policy and its key.
func (s *state) fromCache(ctx context.Context, now time.Time, d digest) (*Token, *Error) {
	r := s.cache.get(d)
	if r == nil || s.checkTime(r.token, now) != "" || !r.token.key.Valid() {
		return nil, nil
	}
	tok, e := r.token, r.entry
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

// verifyUncached checks the three segments of raw. It also returns the revocation rules that did not match.
func (s *state) verifyUncached(ctx context.Context, now time.Time, raw, h, p, sig string) (*Token, *rules, *Error) {
	sc := scratches.Get().(*scratch)
	defer sc.release()
	var parsed compact
	if reason, detail := parsed.parse(sc, raw, h, p, sig); reason != "" {
		return nil, nil, &Error{Reason: reason, Detail: detail}
	}
	c := &sc.claims
	if wrong, ok := sc.readClaims(parsed.payload); !ok {
		return nil, nil, &Error{Reason: ReasonMalformed, Detail: wrong}
	} else if !c.issuerPresent {
		return nil, nil, &Error{Reason: ReasonMalformed, Detail: "iss"}
	}
	e := s.issuers[c.issuer]
	if e == nil {
		return nil, nil, &Error{Reason: ReasonUnknownIssuer}
	}
	if reason, detail := e.checkHeader(&parsed.header, c); reason != "" {
		return nil, nil, e.reject(reason, detail, nil)
	}
	if reason := s.checkDates(c.exp, c.nbf, c.iat, now); reason != "" {
		return nil, nil, e.reject(reason, "", nil)
	}
	audience := e.checkAudience(parsed.header.typ, c)
	if audience.reason != "" {
		return nil, nil, e.reject(audience.reason, audience.detail, nil)
	}
	key, regions, err := s.checkSignature(ctx, e, c, &parsed)
	if err != nil {
		return nil, nil, err
	}
	if err := e.checkRequired(c); err != nil {
		if len(regions) == 1 {
			err.Region = regions[0]
		}
		return nil, nil, err
	}
	tok := s.newToken(e, &parsed, c)
	tok.key, tok.regions, tok.idToken = key, regions, audience.id
	judged := s.revocations.now() // before the question, so that no change is missed
	if err := s.checkPolicy(e, tok, now); err != nil {
		return nil, nil, err
	}
	if err := s.checkRevoked(e, tok); err != nil {
		return nil, nil, err
	}
	return tok, judged, e.check(ctx, tok)
}

// newToken makes the Token of what was checked. It does not share the memory of c.
func (s *state) newToken(e *issuerEntry, p *compact, c *claims) *Token {
	tok := &Token{
		policy: e.compiledPolicy, header: p.header, payload: p.payload, text: len(p.text),
		issuer: c.issuer, subject: c.subject, clientID: c.client, id: c.id, bound: c.bound, scopes: c.scopes, clients: c.clients,
		exp: c.exp, nbf: c.nbf, iat: c.iat,
	}
	if len(c.audience.values) == 1 {
		tok.oneAudience[0] = c.audience.values[0]
		tok.audience = tok.oneAudience[:]
	} else {
		tok.audience = slices.Clone(c.audience.values)
	}
	tok.until = tok.exp
	if e.MaxAge > 0 && tok.iat.Add(e.MaxAge).Before(tok.until) {
		tok.until = tok.iat.Add(e.MaxAge)
	}
	tok.until = tok.until.Add(s.leeway)
	return tok
}

// reject makes an Error that names the provider.
func (e *issuerEntry) reject(r Reason, detail string, cause error) *Error {
	return &Error{Reason: r, Provider: e.providerID, Region: e.region, Detail: detail, Err: cause}
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

// Limits on what is done for one token, whatever a key source answers: how often keys are looked up, as a key set may be fetched
// while its first keys are tried, and how many keys are tried.
const (
	maxLookups    = 3
	maxCandidates = 16
)

// missingKeyID is the detail of a token without kid that is not allowed, or for which too many keys fit.
const missingKeyID = "kid, see Policy.AllowMissingKeyID"

// attempt is the search for the key of one token.
type attempt struct {
	*issuerEntry
	s *state
	q jwks.Query

	input, signature []byte
}

// checkSignature finds the key, and the regions that may have signed with it.
func (s *state) checkSignature(ctx context.Context, e *issuerEntry, c *claims, p *compact) (*jwks.Key, []string, *Error) {
	a := attempt{
		issuerEntry: e, s: s, input: p.input, signature: p.signature,
		q: jwks.Query{Issuer: c.issuer, KeyID: p.header.kid, Algorithm: p.header.alg, IssuedAt: c.iat},
	}
	if e.AllowMissingKeyID && p.header.kid != "" {
		return a.tryWithUnnamed(ctx)
	}
	return a.try(ctx)
}

// try tries the keys that the query asks for. Only a complete answer makes the token bad. The key source learns of a wrong
// signature even if its answer was complete: the issuer may have replaced a key under its kid.
func (a *attempt) try(ctx context.Context) (*jwks.Key, []string, *Error) {
	q := a.q
	var r jwks.Result
	for range maxLookups {
		r = a.s.lookup(ctx, q)
		before := len(q.Tried)
		if q.KeyID == "" && len(r.Keys) > maxCandidates {
			r = jwks.Result{Complete: true, Err: verdict.ErrManyKeys}
		}
		for _, k := range r.Keys {
			switch {
			case !isKey(k):
				r.Complete = false
			case k.Algorithm() != "" && k.Algorithm() != q.Algorithm: // it was not asked for
			case slices.Contains(q.Tried, k.Thumbprint()):
			case len(q.Tried) == maxCandidates:
				r.Complete = false // it is not tried
			case !a.verifiedBy(k):
				q.Tried = append(slices.Clip(q.Tried), k.Thumbprint())
			default:
				return a.found(k)
			}
		}
		if len(q.Tried) == before {
			break
		}
	}
	// Of a token without kid that no key has verified, the key is not known.
	return nil, nil, a.noKey(&r, q.KeyID != "" && len(q.Tried) > 0)
}

// tryWithUnnamed tries the key that the token names, or if there is none the keys without kid that are in memory.
func (a *attempt) tryWithUnnamed(ctx context.Context) (*jwks.Key, []string, *Error) {
	if k := a.unnamed(ctx); k != nil {
		return a.found(k)
	}
	key, regions, err := a.try(ctx)
	if err == nil {
		return key, regions, nil
	}
	if k := a.unnamed(ctx); k != nil { // it may have been fetched
		return a.found(k)
	}
	return nil, nil, err
}

// unnamed returns the key without kid that has verified the token, if no key has its kid.
func (a *attempt) unnamed(ctx context.Context) *jwks.Key {
	q := a.q
	q.CacheOnly = true
	if r := a.s.lookup(ctx, q); len(r.Keys) > 0 {
		return nil
	}
	q.KeyID = ""
	r := a.s.lookup(ctx, q)
	if len(r.Keys) > maxCandidates {
		return nil
	}
	for _, k := range r.Keys {
		if isKey(k) && k.ID() == "" && (k.Algorithm() == "" || k.Algorithm() == q.Algorithm) && a.verifiedBy(k) {
			return k
		}
	}
	return nil
}

func (a *attempt) verifiedBy(k *jwks.Key) bool {
	return jose.Verify(a.q.Algorithm, k.Public(), a.input, a.signature) == nil
}

// found returns the key that has verified the token.
func (a *attempt) found(k *jwks.Key) (*jwks.Key, []string, *Error) {
	if regions := commonRegions(k.Regions(), a.regions); len(regions) > 0 {
		return k, regions, nil
	}
	return nil, nil, a.unavailable(nil) // keys and policies are not of one configuration
}

// isKey reports whether k is a key. The zero Key is none.
func isKey(k *jwks.Key) (ok bool) {
	defer func() { ok = recover() == nil && ok }() //nolint:forbidigo // of the zero Key, whose methods panic
	return k != nil && k.Public() != nil
}

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
	if reason, detail := s.checkAge(e, tok, now); reason != "" {
		return e.reject(reason, detail, nil)
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
