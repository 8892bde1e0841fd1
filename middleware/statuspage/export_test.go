package statuspage

import (
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt"
)

// Limits, for tests.
const (
	MaxProviders = maxProviders
	MaxEvents    = maxEvents
)

// Provider is the state of a provider.
type Provider = provider

// Providers returns the state of each provider by its ID.
func Providers(st regionjwt.Status) []*Provider { return newSnapshot(st, time.Now()).providers }

// New returns the handler for a function that returns the state, and the observer that it gives to a Validator.
func New(status func() regionjwt.Status, title string) (http.Handler, regionjwt.Observer) {
	p := newPage(status, title)
	return p, p.events.observer()
}
