// Package peers sets libraries up to verify tokens, each as its documentation has it.
package peers

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Endpoint is an issuer and the URL of its keys.
type Endpoint struct{ Iss, JWKS string }

// Setup is what a library is configured with.
type Setup struct {
	Issuers    []Endpoint
	Audience   string
	Algorithms []string
	Leeway     time.Duration
	Refresh    time.Duration // how often keys are refreshed, where that can be set; 0 is the default of the library
}

// urls lists where the keys are.
func (s Setup) urls() []string {
	urls := make([]string, 0, len(s.Issuers))
	for _, e := range s.Issuers {
		urls = append(urls, e.JWKS)
	}
	return urls
}

// lists reports whether iss is one of the issuers.
func (s Setup) lists(iss string) bool {
	return slices.ContainsFunc(s.Issuers, func(e Endpoint) bool { return e.Iss == iss })
}

// named converts the algorithms to the type of a library.
func named[T ~string](algorithms []string) []T {
	all := make([]T, 0, len(algorithms))
	for _, a := range algorithms {
		all = append(all, T(a))
	}
	return all
}

// Subject is a library that is configured and verifies tokens.
type Subject interface {
	Verify(ctx context.Context, token string) error
	Close()
}

// Library is a way to make subjects.
type Library struct {
	Name    string
	Modules []string // whose versions are printed
	Note    string   // printed beside the versions
	Open    func(ctx context.Context, s Setup) (Subject, error)

	Several   bool             // one subject can serve several issuers
	Lazy      bool             // keys are fetched when the first token comes
	Refetches bool             // a key that is not in memory is fetched
	Discovers bool             // the keys of several issuers are found by discovery only
	NoLeeway  bool             // there is no setting for it
	AnyAlg    bool             // no list of algorithms can be set
	Outage    func(error) bool // tells outages from bad tokens; nil where the library has no such error
}

// All lists the libraries, regionjwt first.
func All() []Library {
	return []Library{
		regionjwtLibrary(), keyfuncLibrary(), goOIDCLibrary(), capLibrary(), zitadelLibrary(), auth0Library(),
		toolhiveLibrary(), jwx2Library(), jwx3Library(),
	}
}

var (
	errIssuer   = errors.New("wrong issuer")
	errAudience = errors.New("wrong audience")
)
