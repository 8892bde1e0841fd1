package clientcredentials

import (
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/tokenwatch"
	"github.com/regionjwt/regionjwt/issuer"
)

// watch has what package otel sees of a TokenSource. A TokenSource and those of its exchanges share one.
type watch struct {
	provider string
	regional bool // there are several token endpoints

	mu       sync.Mutex
	watchers []*func(tokenwatch.Request)
}

func newWatch(p issuer.Provider, endpoints []*region) *watch {
	return &watch{provider: p.ID, regional: len(endpoints) > 1}
}

var _ = tokenwatch.Provide(tokenwatch.Functions{
	Watch: func(source any, f func(tokenwatch.Request)) (stop func()) {
		s, ok := source.(*TokenSource)
		if !ok || !s.made() {
			return func() {}
		}
		return s.tools.watch.add(&f)
	},
	Status: func(source any) tokenwatch.Status {
		s, ok := source.(*TokenSource)
		if !ok || !s.made() {
			return tokenwatch.Status{}
		}
		return s.status()
	},
})

func (w *watch) add(f *func(tokenwatch.Request)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchers = append(w.watchers, f)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.watchers = slices.DeleteFunc(w.watchers, func(one *func(tokenwatch.Request)) bool { return one == f })
	}
}

// all lists the watchers.
func (w *watch) all() []*func(tokenwatch.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.watchers)
}

// status is what can be seen of s now.
func (s *TokenSource) status() tokenwatch.Status {
	st := tokenwatch.Status{Provider: s.tools.watch.provider, Regional: s.tools.watch.regional}
	t := s.current.Load()
	if t == nil {
		return st
	}
	st.Region = t.from.name
	st.Expires = time.Now().Add(left(s.clock(), t.got, t.life)) // by either clock, as for callers
	return st
}

// tell tells the watchers about a request.
func (s *TokenSource) tell(r tokenwatch.Request) {
	for _, f := range s.tools.watch.all() {
		_ = s.guarded("the metrics", func() { (*f)(r) })
	}
}
