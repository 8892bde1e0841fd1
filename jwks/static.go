package jwks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/issuer"
)

// StaticSet holds the key sets of one authority as documents.
type StaticSet struct {
	Authority issuer.Authority
	JWKS      map[string][]byte // by region name; a region that is left out has no keys
}

// Static is a Source of fixed keys, for tests and for services without a network. It is immutable.
type Static struct {
	issuers map[string]map[string][]*Key
}

// NewStatic reads the sets by the rules of a Cache. A document without a usable key, or one for a region that the
// authority does not have, is an error.
func NewStatic(sets ...StaticSet) (*Static, error) {
	s := &Static{issuers: map[string]map[string][]*Key{}}
	var errs []error
	authorities := make([]issuer.Authority, 0, len(sets))
	for _, in := range sets {
		authorities = append(authorities, in.Authority)
		for name := range in.JWKS {
			if !slices.ContainsFunc(in.Authority.Regions, func(r issuer.Region) bool { return r.Name == name }) {
				errs = append(errs, fmt.Errorf("authority %q has no region %q", in.Authority.ID, name))
			}
		}
		for _, r := range in.Authority.Regions {
			if doc, ok := in.JWKS[r.Name]; ok {
				if err := s.add(r, doc); err != nil {
					errs = append(errs, fmt.Errorf("authority %q: region %q: %w", in.Authority.ID, r.Name, err))
				}
			}
			for _, iss := range r.Issuers {
				if s.issuers[iss] == nil {
					s.issuers[iss] = map[string][]*Key{}
				}
			}
		}
	}
	var c Config
	if err := errors.Join(append(errs, c.checkAuthorities(authorities))...); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Static) add(r issuer.Region, doc []byte) error {
	keys, _, err := jose.ParseSet(doc, nil)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return errors.New("no usable key")
	}
	for _, iss := range r.Issuers {
		byKid := s.issuers[iss]
		if byKid == nil {
			byKid = map[string][]*Key{}
			s.issuers[iss] = byKid
		}
		for _, k := range keys {
			i := slices.IndexFunc(byKid[k.ID], func(o *Key) bool {
				return o.Thumbprint == k.Thumbprint && o.Algorithm == k.Algorithm
			})
			if i >= 0 {
				byKid[k.ID][i].Regions = append(byKid[k.ID][i].Regions, r.Name)
				continue
			}
			byKid[k.ID] = append(byKid[k.ID], &Key{
				ID: k.ID, Algorithm: k.Algorithm, Thumbprint: k.Thumbprint, Public: k.Public, Regions: []string{r.Name},
			})
		}
	}
	return nil
}

// Keys implements Source. The error is ErrUnknownIssuer or ErrUnknownKey.
func (s *Static) Keys(_ context.Context, iss, kid string) ([]*Key, error) {
	if s == nil || s.issuers == nil {
		return nil, errNotNewStatic
	}
	byKid := s.issuers[iss]
	if byKid == nil {
		return nil, ErrUnknownIssuer
	}
	if keys := byKid[kid]; len(keys) > 0 {
		return slices.Clip(keys), nil
	}
	return nil, ErrUnknownKey
}

// Peek implements Peeker.
func (s *Static) Peek(iss, kid string) []*Key {
	if s == nil {
		return nil
	}
	return slices.Clip(s.issuers[iss][kid])
}

var errNotNewStatic = errors.New("jwks: the Static was not made by NewStatic")
