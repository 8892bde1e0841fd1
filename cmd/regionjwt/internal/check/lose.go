package check

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/provider"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

// acceptedKey is a key that tokens of an iss may be signed with, and the regions that list both.
type acceptedKey struct {
	Issuer string `json:"issuer"`
	listedKey
	Regions []string `json:"regions"`
}

// loss is what comes of losing a region.
type loss struct {
	Region string   `json:"region"`
	Hosts  []string `json:"hosts"` // that are lost with it
	// What a service could not verify that starts while the region is lost, without a snapshot of keys, and one that got every
	// key set before.
	Start   []missingKey `json:"lost_at_start"`
	Running []missingKey `json:"lost_while_running"`
}

// missingKey is a key that a verifier does not have.
type missingKey struct {
	acceptedKey
	Answer string `json:"answer"` // unknown_key and bad_signature, answered with 401, or keys_unavailable, with 503
}

// pairs lists each key under each iss that its regions list.
func (d *drill) pairs() []acceptedKey {
	var all []acceptedKey
	for _, r := range d.provider.Regions {
		for _, iss := range r.Issuers {
			for _, s := range d.sets {
				if s.Region != r.Name {
					continue
				}
				for _, k := range s.Keys {
					all = addPair(all, acceptedKey{Issuer: iss, listedKey: k}, r.Name)
				}
			}
		}
	}
	return all
}

func addPair(all []acceptedKey, one acceptedKey, region string) []acceptedKey {
	for i, k := range all {
		if k.Issuer == one.Issuer && k.listedKey == one.listedKey {
			if !slices.Contains(k.Regions, region) {
				all[i].Regions = append(all[i].Regions, region)
			}
			return all
		}
	}
	one.Regions = []string{region}
	return append(all, one)
}

// verifierKeys is the cache of a service.
func (d *drill) verifierKeys(p *replay) (*jwks.Cache, error) {
	return jwks.New([]issuer.Provider{d.provider}, jwks.Config{
		HTTPClient: &http.Client{Transport: p}, InsecureHTTPHosts: d.plainHosts,
		UnknownKeyInterval: 100 * time.Millisecond, UnknownKeyWait: 3 * time.Second, // the answers are recorded
	})
}

// lookups is how many keys are looked up at once: one round of requests answers all of them.
const lookups = 32

// missing lists the keys that a cache cannot give, in the order of the pairs.
func missing(ctx context.Context, cache *jwks.Cache, pairs []acceptedKey) []missingKey {
	answers := make([]string, len(pairs))
	var wg sync.WaitGroup
	slots := make(chan struct{}, lookups)
	for i, p := range pairs {
		slots <- struct{}{}
		wg.Go(func() {
			answers[i] = answer(ctx, cache, p)
			<-slots
		})
	}
	wg.Wait()
	lost := []missingKey{}
	for i, p := range pairs {
		if answers[i] != "" {
			lost = append(lost, missingKey{p, answers[i]})
		}
	}
	return lost
}

// answer is what a service answers to a token that is signed with a key, if it does not have the key, and "" if it has.
func answer(ctx context.Context, cache *jwks.Cache, p acceptedKey) string {
	r := cache.Lookup(ctx, jwks.Query{Issuer: p.Issuer, KeyID: p.ID})
	has := slices.ContainsFunc(r.Keys, func(k *jwks.Key) bool {
		return k.Thumbprint() == p.Thumbprint && k.Algorithm() == p.Algorithm
	})
	switch {
	case has:
		return ""
	case !r.Complete:
		return "keys_unavailable"
	case len(r.Keys) > 0: // another key of that name
		return "bad_signature"
	}
	return "unknown_key"
}

// starts lists what a service misses that starts without the lost hosts and without a snapshot.
func (d *drill) starts(ctx context.Context, pairs []acceptedKey, lost map[string]bool) ([]missingKey, error) {
	cache, err := d.verifierKeys(d.records.replay(lost))
	if err != nil {
		return nil, err
	}
	_ = cache.Preload(ctx) // as services do when they start
	return missing(ctx, cache, pairs), nil
}

// runs lists what a service misses that got every key set before the hosts were lost.
func (d *drill) runs(ctx context.Context, pairs []acceptedKey, lost map[string]bool) ([]missingKey, error) {
	p := d.records.replay(nil)
	cache, err := d.verifierKeys(p)
	if err != nil {
		return nil, err
	}
	_ = cache.Preload(ctx)
	p.lost.Store(&lost)
	return missing(ctx, cache, pairs), nil
}

// lose loses each region in turn.
func (d *drill) lose(ctx context.Context, pairs []acceptedKey, owners map[string][]string) ([]loss, error) {
	var all []loss
	for _, r := range d.provider.Regions {
		lost := map[string]bool{}
		for host, regions := range owners {
			if slices.Equal(regions, []string{r.Name}) {
				lost[host] = true
			}
		}
		one := loss{Region: r.Name, Hosts: slices.Sorted(maps.Keys(lost))}
		if one.Hosts == nil {
			one.Hosts = []string{}
		}
		var err, errRuns error
		one.Start, err = d.starts(ctx, pairs, lost)
		one.Running, errRuns = d.runs(ctx, pairs, lost)
		if err := errors.Join(err, errRuns); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// owners says which regions a host is lost with: that which prefers it, or else that which lists it. A host of several regions
// is lost with none of them, for it is not known which of them answers.
func (d *drill) owners() map[string][]string {
	preferred, listed := map[string][]string{}, map[string][]string{}
	add := func(to map[string][]string, rawURL, region string) {
		if u, err := url.Parse(rawURL); err == nil && !slices.Contains(to[provider.HostPort(u)], region) {
			to[provider.HostPort(u)] = append(to[provider.HostPort(u)], region)
		}
	}
	for _, r := range d.provider.Regions {
		for i, u := range r.JWKSURLs {
			add(listed, u, r.Name)
			if i == 0 {
				add(preferred, u, r.Name)
			}
		}
		if len(r.JWKSURLs) > 0 {
			continue
		}
		for _, iss := range r.Issuers {
			doc := d.document(iss)
			for _, u := range []string{doc.URL, doc.KeysAt} {
				if u != "" {
					add(listed, u, r.Name)
					add(preferred, u, r.Name)
				}
			}
		}
	}
	maps.Copy(listed, preferred)
	return listed
}
