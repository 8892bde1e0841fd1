package verifier

import (
	"context"
	"slices"

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
		q: jwks.Query{Issuer: a.claims.issuer, KeyID: a.header.kid, Algorithm: a.header.alg, IssuedAt: a.claims.iat},
	}
	if a.entry.AllowMissingKeyID && a.header.kid != "" {
		return f.tryWithUnnamed(ctx)
	}
	return f.try(ctx)
}

// try tries the keys that the query asks for. Only a complete answer makes the token bad. The key source learns of a wrong
// signature even if its answer was complete: the issuer may have replaced a key under its kid.
func (f *search) try(ctx context.Context) (*jwks.Key, []string, *Error) {
	q := f.q
	var r jwks.Result
	for range maxLookups {
		r = f.s.lookup(ctx, q)
		before := len(q.Tried)
		if q.KeyID == "" && len(r.Keys) > maxCandidates {
			r = jwks.Result{Complete: true, Err: verdict.ErrManyKeys}
		}
		for _, k := range r.Keys {
			switch {
			case !isKey(k):
				r.Complete = false
			case k.Algorithm() != "" && k.Algorithm() != q.Algorithm: // it was not asked for
			case len(q.Tried) > 0 && slices.Contains(q.Tried, k.Thumbprint()):
			case len(q.Tried) == maxCandidates:
				r.Complete = false // it is not tried
			case !f.verifiedBy(k):
				q.Tried = append(slices.Clip(q.Tried), k.Thumbprint())
			default:
				return f.found(k)
			}
		}
		if len(q.Tried) == before {
			break
		}
	}
	// Of a token without kid that no key has verified, the key is not known.
	return nil, nil, f.noKey(&r, q.KeyID != "" && len(q.Tried) > 0)
}

// tryWithUnnamed tries the key that the token names, or if there is none the keys without kid that are in memory.
func (f *search) tryWithUnnamed(ctx context.Context) (*jwks.Key, []string, *Error) {
	if k := f.unnamed(ctx); k != nil {
		return f.found(k)
	}
	key, regions, err := f.try(ctx)
	if err == nil {
		return key, regions, nil
	}
	if k := f.unnamed(ctx); k != nil { // it may have been fetched
		return f.found(k)
	}
	return nil, nil, err
}

// unnamed returns the key without kid that has verified the token, if no key has its kid.
func (f *search) unnamed(ctx context.Context) *jwks.Key {
	q := f.q
	q.CacheOnly = true
	if named := f.s.lookup(ctx, q); len(named.Keys) > 0 {
		return nil
	}
	q.KeyID = ""
	r := f.s.lookup(ctx, q)
	if len(r.Keys) > maxCandidates {
		return nil
	}
	for _, k := range r.Keys {
		if isKey(k) && k.ID() == "" && (k.Algorithm() == "" || k.Algorithm() == q.Algorithm) && f.verifiedBy(k) {
			return k
		}
	}
	return nil
}

func (f *search) verifiedBy(k *jwks.Key) bool {
	return jose.Verify(f.q.Algorithm, k.Public(), f.input, f.signature) == nil
}

// found returns the key that has verified the token.
func (f *search) found(k *jwks.Key) (*jwks.Key, []string, *Error) {
	if regions := commonRegions(k.Regions(), f.regions); len(regions) > 0 {
		return k, regions, nil
	}
	return nil, nil, f.unavailable(nil) // keys and policies are not of one configuration
}
