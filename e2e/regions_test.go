package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
)

// live is a region whose issuer runs in a process of its own.
type live struct {
	*process
	issue  func(t *testing.T) string // a new token
	rotate func(t *testing.T)        // puts a new key in use; nil if all regions have one key and keep it
	again  func(t *testing.T) *live  // restarts the issuer at the same address
}

// outlives stops the issuer of each region in turn: first it hangs, then it is killed, then it returns, with a new key if it
// can. Meanwhile the other one puts a new key in use. Every token verifies throughout, whether it was seen before or not, and
// its region is the one that issued it, if the regions have keys of their own.
func outlives(t *testing.T, v *regionjwt.Validator, regions map[string]*live) {
	t.Helper()
	verifies := func(raws map[string][]string) {
		t.Helper()
		for region, all := range raws {
			for _, raw := range all {
				tok := accepted(t, v, raw)
				require.Contains(t, tok.Regions(), region)
				if regions[region].rotate != nil {
					require.Equal(t, region, tok.Region())
				}
			}
		}
	}
	for down, up := range map[string]string{east: west, west: east} {
		seen := map[string][]string{}
		for region, r := range regions {
			seen[region] = append(seen[region], r.issue(t))
		}
		verifies(seen)
		raws := map[string][]string{down: {seen[down][0], regions[down].issue(t)}, up: {seen[up][0], regions[up].issue(t)}}
		regions[down].freeze(t)
		verifies(raws)
		for _, stop := range []func(){func() {}, regions[down].kill} {
			stop()
			if regions[up].rotate != nil {
				regions[up].rotate(t)
			}
			raws[up] = append(raws[up], regions[up].issue(t)) // the first token of a new key
			verifies(raws)
		}
		address := regions[down].issuer
		regions[down] = regions[down].again(t)
		require.Equal(t, address, regions[down].issuer)
		recovers(t, v, regions[down].issue(t))
	}
}

// liveRegion is a region of oidc-provider.
func liveRegion(t *testing.T, alg, port string) *live {
	t.Helper()
	p := start(t, alg, port)
	return &live{process: p, issue: p.token, rotate: p.rotate, again: func(t *testing.T) *live {
		t.Helper()
		return liveRegion(t, alg, p.port(t))
	}}
}

// Both names of Ed25519 (RFC 9864) are those of one algorithm, though the regions do not use the same.
func TestRegionsWithEd25519(t *testing.T) {
	t.Parallel()
	eastern, western := liveRegion(t, "EdDSA", ""), liveRegion(t, "Ed25519", "")
	s := serve(t, eastern.process, western.process)
	outlives(t, s.Validator, map[string]*live{east: eastern, west: western})
}
