package jwks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/verdict"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

// static is a Source of fixed keys.
type static struct {
	issuers map[string]fixed
	changed chan struct{} // never closed
}

// fixed is a document: its keys, and its entries that cannot be used.
type fixed struct {
	keys     []*Key
	unusable []keystate.Unusable
}

// errFixed explains an incomplete answer: asking again does not help.
var errFixed = errors.New("the key is published, and this process cannot use it")

// NewStatic returns a Source of fixed keys, for tests and for services without a network. keySets holds a JWK set (RFC 7517,
// section 5) for each issuer. A key may be of every region that lists the issuer. A document without a usable key is an error.
//
// Entries that cannot be used mean what they mean in a set that a Cache fetches: the answer about one that cannot be read, or
// that this build of the program does not support, is not complete, and one that is not allowed is ErrKeyNotAllowed.
func NewStatic(keySets map[string][]byte) (Source, error) {
	s := &static{issuers: map[string]fixed{}, changed: make(chan struct{})}
	var errs []error
	for _, iss := range slices.Sorted(maps.Keys(keySets)) {
		keys, skipped, err := jose.ParseSet(keySets[iss], jose.Limits{})
		switch {
		case iss == "":
			err = errors.New("the issuer is empty")
		case err == nil && len(keys) == 0:
			err = fmt.Errorf("no usable key: %q", names(skipped))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("jwks.NewStatic: issuer %q: %w", iss, err))
		}
		f := fixed{unusable: unusable(skipped)}
		for _, k := range keys {
			f.keys = append(f.keys, &Key{key: k})
		}
		s.issuers[iss] = f
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Lookup implements Source. Its answers are complete, except where an entry that cannot be used may be the key.
func (s *static) Lookup(_ context.Context, q Query) Result {
	f, ok := s.issuers[q.Issuer]
	if !ok {
		return Result{Complete: true, Err: ErrUnknownIssuer}
	}
	r := Result{Complete: true}
	ask := f.narrow(q.question())
	var fits []jose.Thumbprint
	found := false
	for _, k := range f.keys {
		if !ask.Matches(k.key) {
			continue
		}
		found = true
		if q.KeyID == "" && !slices.Contains(fits, k.key.Thumbprint) {
			fits = append(fits, k.key.Thumbprint)
		}
		if !k.key.Thumbprint.In(q.Tried) {
			r.Keys = append(r.Keys, k)
		}
	}
	if len(fits) > verdict.MaxUnnamed {
		return Result{Complete: true, Err: verdict.ErrManyKeys}
	}
	for _, u := range f.unusable {
		switch {
		case !u.StandsFor(ask):
		case !u.Policy:
			r.Complete, r.RetryAfter, r.Err = false, mostRetry, errFixed
			return r
		case !found:
			r.Err = ErrKeyNotAllowed
		}
	}
	return r
}

// narrow leaves out the keys without kid if a key of that kid fits, or more of them fit than are tried.
func (f *fixed) narrow(ask keystate.Question) keystate.Question {
	var unnamed []jose.Thumbprint
	for _, k := range f.keys {
		switch {
		case !ask.Unnamed || !ask.Matches(k.key):
		case k.key.ID == ask.KeyID:
			ask.Unnamed = false
		case !slices.Contains(unnamed, k.key.Thumbprint):
			unnamed = append(unnamed, k.key.Thumbprint)
		}
	}
	ask.Unnamed = ask.Unnamed && len(unnamed) <= verdict.MaxUnnamed
	return ask
}

// Changed implements Source. The channel is never closed.
func (s *static) Changed() <-chan struct{} { return s.changed }
