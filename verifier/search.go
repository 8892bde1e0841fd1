package verifier

import (
	"context"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/verdict"
	"github.com/regionjwt/regionjwt/jwks"
)

// Limits on what is done for one token, whatever a key source answers: how often keys are looked up, as a key set may be fetched
// while its first keys are tried, and how many keys are tried.
const (
	maxLookups    = 3
	maxCandidates = 16
)

// missingKeyID is the detail of a token without kid that is not allowed, or for which too many keys fit.
const missingKeyID = "kid, see Policy.AllowMissingKeyID"

// search is the search for the key of one token.
type search struct {
	*issuerEntry
	s *state
	q jwks.Query

	input, signature []byte
}

// checkSignature finds the key, and the regions that may have signed with it.
func (s *state) checkSignature(ctx context.Context, a *attempt) (*jwks.Key, []string, *Error) {
	f := search{
		issuerEntry: a.entry, s: s, input: a.jws.Input, signature: a.jws.Signature,
		q: a.entry.query(a.claims.issuer, &a.header, a.claims.iat),
	}
	return f.try(ctx)
}

// query asks for the keys that may verify a token.
func (e *issuerEntry) query(iss string, h *header, issuedAt time.Time) jwks.Query {
	if h.signer != "" {
		iss = h.signer
	}
	return jwks.Query{
		Issuer: iss, KeyID: h.kid, Algorithm: h.alg, IssuedAt: issuedAt, AllowMissingKeyID: e.AllowMissingKeyID,
	}
}

// try tries the keys that the query asks for, each material once. Only a complete answer makes the token bad. The key source
// learns of a wrong signature even if its answer was complete: the issuer may have replaced a key under its kid.
func (f *search) try(ctx context.Context) (*jwks.Key, []string, *Error) {
	q := f.q
	var r jwks.Result
	named := false // a key of the token's kid was tried
	for range maxLookups {
		r = f.s.lookup(ctx, q)
		before := len(q.Tried)
		if q.KeyID == "" && manyKeys(r.Keys) {
			r = jwks.Result{Complete: true, Err: verdict.ErrManyKeys}
		}
		for _, k := range r.Keys {
			switch {
			case !isKey(k):
				r.Complete = false
			case !fits(k, q.Algorithm): // it was not asked for
			case len(q.Tried) > 0 && slices.Contains(q.Tried, k.Thumbprint()):
			case len(q.Tried) == maxCandidates:
				r.Complete = false // it is not tried
			case !f.verifiedBy(k):
				q.Tried = append(slices.Clip(q.Tried), k.Thumbprint())
				named = named || q.KeyID != "" && k.ID() != ""
			default:
				return f.found(k, r.Keys)
			}
		}
		if len(q.Tried) == before {
			break
		}
	}
	return nil, nil, f.noKey(&r, named) // if none of that name was tried, the key is not known
}

// manyKeys reports whether there are more keys than are tried.
func manyKeys(keys []*jwks.Key) bool {
	if len(keys) <= maxCandidates {
		return false
	}
	thumbprints := map[string]bool{}
	for _, k := range keys {
		if isKey(k) {
			thumbprints[k.Thumbprint()] = true
		}
	}
	return len(thumbprints) > maxCandidates
}

// fits reports whether the alg of a key allows that of a token.
func fits(k *jwks.Key, alg string) bool { return k.Algorithm() == "" || k.Algorithm() == alg }

func (f *search) verifiedBy(k *jwks.Key) bool {
	return jose.Verify(f.q.Algorithm, k.Public(), f.input, f.signature) == nil
}

// found returns the key that has verified the token, and the regions that may have signed with it.
func (f *search) found(k *jwks.Key, all []*jwks.Key) (*jwks.Key, []string, *Error) {
	if regions := f.regionsOf(k, all, f.q.Algorithm); len(regions) > 0 {
		return k, regions, nil
	}
	return nil, nil, f.unavailable(nil) // keys and policies are not of one configuration
}

// regionsOf returns the regions that list the issuer and may have signed with a key, under any of the names under which it is
// among the keys of an answer.
func (e *issuerEntry) regionsOf(k *jwks.Key, all []*jwks.Key, alg string) []string {
	regions := commonRegions(k.Regions(), e.regions)
	if len(regions) == len(e.regions) {
		return regions
	}
	for _, other := range all {
		if other == k || !isKey(other) || other.Thumbprint() != k.Thumbprint() || !fits(other, alg) {
			continue
		}
		more := commonRegions(other.Regions(), e.regions)
		if slices.ContainsFunc(more, func(r string) bool { return !slices.Contains(regions, r) }) {
			either := func(r string) bool { return slices.Contains(regions, r) || slices.Contains(more, r) }
			regions = slices.DeleteFunc(slices.Clone(e.regions), func(r string) bool { return !either(r) })
		}
	}
	return regions
}
