package otel

import (
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"

	"github.com/regionjwt/regionjwt/jwks"
)

// The attributes.
const (
	keyErrorType  = attribute.Key("error.type")
	keyStatusCode = attribute.Key("http.response.status_code") // of spans only
	keyResult     = attribute.Key("regionjwt.result")
	keyCached     = attribute.Key("regionjwt.cached")
	keyProvider   = attribute.Key("regionjwt.provider")
	keyRegion     = attribute.Key("regionjwt.region")
	keyIssuer     = attribute.Key("regionjwt.issuer")
	keyOnDemand   = attribute.Key("regionjwt.on_demand")
	keyState      = attribute.Key("regionjwt.state")
	keySource     = attribute.Key("regionjwt.source")
	keyCause      = attribute.Key("regionjwt.cause")
	keyHealth     = attribute.Key("regionjwt.health")
	keyReplica    = attribute.Key("regionjwt.replica")
	keyProblem    = attribute.Key("regionjwt.problem")

	keyTransmitter = attribute.Key("regionjwt.transmitter")
	keyEvent       = attribute.Key("regionjwt.event")
)

const (
	unknown = "unknown" // no provider; several possible regions, or none
	other   = "other"   // a name beyond a bound
)

// names bounds the values of an attribute: the first that appear are themselves, all others are "other".
type names struct {
	most  int
	mu    sync.Mutex
	known atomic.Pointer[map[string]bool]
}

func (n *names) of(name string) string {
	if m := n.known.Load(); m != nil && (*m)[name] {
		return name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	grown := map[string]bool{}
	if m := n.known.Load(); m != nil {
		if len(*m) >= n.most && !(*m)[name] {
			return other
		}
		grown = maps.Clone(*m)
	}
	grown[name] = true
	n.known.Store(&grown)
	return name
}

// location is a region of a provider, by their configured names.
type location struct{ provider, region string }

// place is a location as the attributes name it; "" means that there is no such attribute.
type place struct{ provider, region string }

// place bounds the names of a location.
func (o *instrumentation) place(provider, region string) place {
	p := place{provider: o.provider(provider)}
	switch {
	case !o.regional.Load():
	case region == "":
		p.region = unknown
	default:
		p.region = o.regions.of(region)
	}
	return p
}

// provider bounds the ID of a provider.
func (o *instrumentation) provider(id string) string {
	if id == "" {
		return unknown
	}
	return o.providers.of(id)
}

// notice finds out whether a provider has several regions.
func (o *instrumentation) notice(all []jwks.Status) {
	if o.regional.Load() {
		return
	}
	first := map[string]string{}
	for i := range all {
		region, ok := first[all[i].Provider]
		if ok && region != all[i].Region {
			o.regional.Store(true)
			return
		}
		first[all[i].Provider] = all[i].Region
	}
}

// set makes an attribute set of a place and more.
func set(p place, more ...attribute.KeyValue) attribute.Set {
	all := append(make([]attribute.KeyValue, 0, len(more)+2), more...)
	if p.region != "" {
		all = append(all, keyRegion.String(p.region))
	}
	if p.provider != "" {
		all = append(all, keyProvider.String(p.provider))
	}
	return attribute.NewSet(all...)
}

// table keeps what was made for a key, so that it is made once. Reads take no lock. Its keys are bounded.
type table[K comparable, V any] struct {
	mu   sync.Mutex
	made atomic.Pointer[map[K]V]
}

func (t *table[K, V]) find(k K) (v V, ok bool) {
	if m := t.made.Load(); m != nil {
		v, ok = (*m)[k]
	}
	return v, ok
}

// add adds what find has not found, unless another goroutine has added it.
func (t *table[K, V]) add(k K, v V) V {
	t.mu.Lock()
	defer t.mu.Unlock()
	grown := map[K]V{}
	if m := t.made.Load(); m != nil {
		if there, ok := (*m)[k]; ok {
			return there
		}
		grown = maps.Clone(*m)
	}
	grown[k] = v
	t.made.Store(&grown)
	return v
}
