package speed_test

import (
	"math"
	"testing"

	"github.com/regionjwt/regionjwt"
)

// Each of many providers with two regions, of which each has an issuer, a URL and two RSA keys of its own, takes at most 4 KiB.
func TestProvidersTakeLittleMemory(t *testing.T) { // not parallel: it measures memory
	const size, most = 700, 4096
	e := theEstate(t, size)
	e.openWarm(t)       // the runtime keeps what it needs for the goroutines
	each := math.Inf(1) // the least of several: what the runtime allocates meanwhile is counted, too
	for range 5 {
		each = min(each, e.memory(t, func() *regionjwt.Validator { return e.use(t, e.openWarm(t)) }))
	}
	t.Logf("%.0f bytes of each provider", each)
	if each > most {
		t.Errorf("a provider takes %.0f bytes, more than %d", each, most)
	}
}
