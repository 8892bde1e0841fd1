package otel

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
)

// The attributes.
const (
	keyErrorType  = attribute.Key("error.type")
	keyStatusCode = attribute.Key("http.response.status_code") // of spans only
	keyResult     = attribute.Key("regionjwt.result")
	keyRemembered = attribute.Key("regionjwt.remembered")
	keyAuthority  = attribute.Key("regionjwt.authority")
	keyRegion     = attribute.Key("regionjwt.region")
	keyIssuer     = attribute.Key("regionjwt.issuer")
	keyDrift      = attribute.Key("regionjwt.drift")
	keyDemanded   = attribute.Key("regionjwt.demanded")
	keyState      = attribute.Key("regionjwt.state")
	keySource     = attribute.Key("regionjwt.source")
	keyCause      = attribute.Key("regionjwt.cause")
	keyHealth     = attribute.Key("regionjwt.health")
	keyControl    = attribute.Key("regionjwt.control")
	keyTrouble    = attribute.Key("regionjwt.trouble")
)

var ownKeys = []attribute.Key{
	keyErrorType, keyStatusCode, keyResult, keyRemembered, keyAuthority, keyRegion, keyIssuer, keyDrift, keyDemanded,
	keyState, keySource, keyCause, keyHealth, keyControl, keyTrouble,
}

const (
	unknown = "unknown" // a region where several are possible, or none
	other   = "other"   // whatever a bound leaves no room for
)

// names bounds the values of an attribute: the first that are met are themselves, all others are "other".
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

// place is a region of an authority, as the attributes name them; the authority is "" where there is no attribute for it.
type place struct{ authority, region string }

// place bounds the names of a place.
func (o *Observer) place(authority, region string) place {
	p := place{region: unknown}
	if region != "" {
		p.region = o.regions.of(region)
	}
	p.authority = o.authority(authority)
	return p
}

// authority bounds the ID of an authority. It is "" where there is no attribute, and "unknown" where there is no authority.
func (o *Observer) authority(id string) string {
	switch {
	case o.config.Authorities == 0:
		return ""
	case id == "":
		return unknown
	default:
		return o.authorities.of(id)
	}
}

// set makes an attribute set of those that are on everything, the place, and more.
func (o *Observer) set(p place, more ...attribute.KeyValue) attribute.Set {
	all := slices.Concat(more, o.config.Attributes)
	if p.region != "" {
		all = append(all, keyRegion.String(p.region))
	}
	if p.authority != "" {
		all = append(all, keyAuthority.String(p.authority))
	}
	return attribute.NewSet(all...)
}

// table remembers what was made for a key, so that it is made once. It is read without a lock. Its keys are bounded.
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

// add adds what find has not found, unless somebody else did.
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
