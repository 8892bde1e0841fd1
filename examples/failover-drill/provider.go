package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

// provider is the identity provider in memory: the keys of a test world, and a token endpoint in each region.
type provider struct {
	world     *issuertest.World
	authority issuer.Provider
	keys      http.RoundTripper

	mu   sync.Mutex
	dark map[string]bool
}

// lose makes a region dark, and find has it come back.
func (p *provider) lose(region string) {
	p.world.Break(region)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dark[region] = true
}

func (p *provider) find(region string) {
	p.world.Mend(region)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dark, region)
}

// RoundTrip implements http.RoundTripper.
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, region := range p.authority.Regions {
		if r.URL.String() != region.TokenURL {
			continue
		}
		p.mu.Lock()
		dark := p.dark[region.Name]
		p.mu.Unlock()
		if dark {
			return nil, errors.New("connection refused")
		}
		if r.Body != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		answer, err := json.Marshal(map[string]any{
			"access_token": p.world.Token(region.Name, issuertest.Claims{Machine: true}),
			"token_type":   "Bearer", "expires_in": 3600,
		})
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(string(answer))), Request: r,
		}, err
	}
	return p.keys.RoundTrip(r)
}
