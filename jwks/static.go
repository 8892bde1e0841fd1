package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/verdict"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// static is a Source of fixed keys.
type static struct {
	issuers map[string][]*Key
	changed chan struct{} // never closed
}

// NewStatic returns a Source of fixed keys, for tests and for services without a network. keySets holds a JWK set (RFC 7517,
// section 5) for each issuer. A key may be of every region that lists the issuer. A document without a usable key is an error.
func NewStatic(keySets map[string][]byte) (Source, error) {
	s := &static{issuers: map[string][]*Key{}, changed: make(chan struct{})}
	var errs []error
	for iss, doc := range keySets {
		keys, skipped, err := jose.ParseSet(doc, jose.Limits{})
		switch {
		case iss == "":
			err = errors.New("the issuer is empty")
		case err == nil && len(keys) == 0:
			err = fmt.Errorf("no usable key: %q", names(skipped))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("jwks.NewStatic: issuer %q: %w", iss, err))
		}
		for _, k := range keys {
			s.issuers[iss] = append(s.issuers[iss], &Key{key: k})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Lookup implements Source. Its answers are complete.
func (s *static) Lookup(_ context.Context, q Query) Result {
	keys, ok := s.issuers[q.Issuer]
	if !ok {
		return Result{Complete: true, Err: ErrUnknownIssuer}
	}
	r := Result{Complete: true}
	ask := keystate.Question{KeyID: q.KeyID, Algorithm: jose.Canonical(q.Algorithm)}
	var fits []string // thumbprints
	for _, k := range keys {
		if !ask.Matches(k.key) {
			continue
		}
		if q.KeyID == "" && !slices.Contains(fits, k.key.Thumbprint) {
			fits = append(fits, k.key.Thumbprint)
		}
		if !slices.Contains(q.Tried, k.key.Thumbprint) {
			r.Keys = append(r.Keys, k)
		}
	}
	if len(fits) > verdict.MaxUnnamed {
		return Result{Complete: true, Err: verdict.ErrManyKeys}
	}
	return r
}

// Changed implements Source. The channel is never closed.
func (s *static) Changed() <-chan struct{} { return s.changed }
