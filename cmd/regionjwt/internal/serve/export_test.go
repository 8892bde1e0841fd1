package serve

import (
	"net/http"
	"sync/atomic"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/serve/routes"
	"github.com/regionjwt/regionjwt/middleware"
)

// DoorOf returns a door whose routes are those of a document.
func DoorOf(v middleware.Verifier, doc string) (*Door, error) {
	table, err := routes.Read([]byte(doc))
	if err != nil {
		return nil, err
	}
	rules, err := NewRules(v, table)
	if err != nil {
		return nil, err
	}
	return door(rules), nil
}

// DoorFor returns a door at which every request needs the requirements.
func DoorFor(v middleware.Verifier, reqs ...middleware.Requirement) (*Door, error) {
	table, err := routes.Read([]byte(`{"routes": [{"path": "/"}], "headers": [{"name": "X-Auth-Subject", "value": "subject"}]}`))
	if err != nil {
		return nil, err
	}
	rules, err := NewRules(v, table)
	if err != nil {
		return nil, err
	}
	rules.handlers[table.Entries()[0]] = rules.handler(&routes.Entry{Token: routes.Required, Requirements: reqs})
	return door(rules), nil
}

// DoorThatPanics returns a door whose rules panic when they have begun to admit a request.
func DoorThatPanics(v middleware.Verifier) (*Door, error) {
	d, err := DoorFor(v)
	if err != nil {
		return nil, err
	}
	rules := d.Rules.Load()
	rules.handlers[rules.table.Entries()[0]] = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Auth-Subject", "alice")
		w.WriteHeader(http.StatusOK)
		panic("s3cret")
	})
	return d, nil
}

func door(r *Rules) *Door {
	p := &atomic.Pointer[Rules]{}
	p.Store(r)
	return &Door{Rules: p}
}
