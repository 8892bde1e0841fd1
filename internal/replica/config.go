package replica

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// ErrNewer says that a newer version of this library wrote a document. No older version may replace it.
var ErrNewer = errors.New("the document is of a newer version")

// RulesName is the default name of the document of revocation rules.
const RulesName = "regionjwt/revocation"

// PinsName returns the default name of the document of pins for a provider.
func PinsName(providerID string) string { return "regionjwt/failover/" + providerID }

// Limits of a configuration.
const (
	maxStores = 8
	maxName   = 500 // bytes: the names of heartbeats are longer
)

// Check returns every problem with c, by the names of its fields.
func Check(c store.ReplicaConfig) (problems []error) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			problems = append(problems, fmt.Errorf("Replica."+format, args...))
		}
	}
	for i, s := range c.Stores {
		field := fmt.Sprintf("Stores[%d]", i)
		add(s == nil, "%s is nil", field)
		problems = append(problems, trust.Check("Replica."+field, s)...)
		info := trust.Of(s)
		add(info.EveryoneWrites, "%s is encrypted only, so that every process that reads it can write rules and pins: "+
			"sign it, or spell it: store.InsecureTrust(store.Encrypted(...))", field)
		add(c.MaxSilence > 0 && !info.Signs && s != nil, "MaxSilence needs signed stores, and %s is none", field)
		add(i > 0 && info.Fleet != trust.Of(c.Stores[0]).Fleet, "%s is of another fleet than Stores[0]", field)
		add(slices.ContainsFunc(c.Stores[:i], func(other store.Trusted) bool { return same(s, other) }),
			"%s is there twice", field)
		add(len(trust.Check(field, s)) == 0 && same(s, c.LocalCopy),
			"LocalCopy is in the same place as %s, and would replace its document", field)
	}
	add(len(c.Stores) > maxStores, "Stores has %d stores; the maximum is %d", len(c.Stores), maxStores)
	problems = append(problems, trust.Check("Replica.LocalCopy", c.LocalCopy)...)
	add(len(c.Name) > maxName, "Name has %d bytes; the maximum is %d", len(c.Name), maxName)
	add(c.PollInterval < 0, "PollInterval is negative")
	add(c.PollInterval > 0 && c.PollInterval < minPause, "PollInterval is %v: use 0 for %v, or %v or more",
		c.PollInterval, DefaultPollInterval, minPause)
	add(c.MaxSilence < 0, "MaxSilence is negative")
	interval := cmp.Or(c.PollInterval, DefaultPollInterval)
	add(c.MaxSilence > 0 && c.MaxSilence <= interval, "MaxSilence is %v, and the stores are asked every %v: "+
		"the rules or pins would always be stale", c.MaxSilence, interval)
	if len(c.Stores) == 0 {
		add(c.LocalCopy == nil && (c.Name != "" || c.PollInterval > 0 || c.MinEpoch > 0),
			"Name, PollInterval or MinEpoch is set, but neither Stores nor LocalCopy")
		add(c.MaxSilence > 0, "MaxSilence is set, but not Stores")
	}
	return problems
}

// same reports whether two stores are one value, or have the same path. It does no I/O, so it does not see through links.
func same(a, b store.Trusted) bool {
	if a == nil || b == nil {
		return false
	}
	if path := trust.Of(a).Path; path != "" && absolute(path) == absolute(trust.Of(b).Path) {
		return true
	}
	return reflect.TypeOf(a).Comparable() && a == b
}

// Collide reports whether two parts with these configurations, with their defaults, would write one document in one place, each
// in its own format: neither could read what the other one has written.
func Collide(a, b store.ReplicaConfig) bool {
	if a.Name != b.Name {
		return false
	}
	places := append(slices.Clone(b.Stores), b.LocalCopy)
	return slices.ContainsFunc(append(slices.Clone(a.Stores), a.LocalCopy), func(s store.Trusted) bool {
		isSame := func(other store.Trusted) bool { return same(s, other) }
		return len(trust.Check("", s)) == 0 && slices.ContainsFunc(places, isSame)
	})
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return filepath.Clean(path)
}

// Default fills in the defaults of c.
func Default(c store.ReplicaConfig, name string) store.ReplicaConfig {
	if c.Name == "" {
		c.Name = name
	}
	if c.PollInterval == 0 {
		c.PollInterval = DefaultPollInterval
	}
	c.Stores = slices.Clone(c.Stores)
	return c
}
