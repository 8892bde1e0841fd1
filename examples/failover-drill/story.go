package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

// tell plays the scenes. Each step has some seconds to come true.
func (d *drill) tell(ctx context.Context) error {
	steps := []struct {
		scene string
		do    func() error
		then  func(context.Context) error
	}{
		{"Both regions are well: " + primary + " is active", nil, d.here(primary)},
		{"The primary region is lost", d.doing(func() { d.idp.Break(primary) }), d.here(secondary)},
		{"Tokens that the lost region issued before still verify", nil, d.verifies(primary)},
		{"An operator pins the region that is left: nothing moves by itself any more", func() error {
			return d.controller.Pin(ctx, secondary, "until we know why", 0)
		}, d.here(secondary)},
		{"The primary region comes back, and the pin holds", d.doing(func() { d.idp.Restore(primary) }), d.well},
		{"The operator ends the pin: the preferred region is entered again", func() error {
			return d.controller.Unpin(ctx)
		}, d.here(primary)},
	}
	for _, step := range steps {
		_, _ = fmt.Fprintf(d.out, "\n%s\n", step.scene)
		if step.do != nil {
			if err := step.do(); err != nil {
				return err
			}
		}
		if err := eventually(ctx, step.then); err != nil {
			return fmt.Errorf("%s: %w", step.scene, err)
		}
		d.show(ctx)
	}
	return nil
}

func (*drill) doing(f func()) func() error {
	return func() error {
		f()
		return nil
	}
}

// eventually waits until something is so, 20 seconds at most.
func eventually(ctx context.Context, so func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := so(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-ticks.C:
		}
	}
}

// here requires that a region is active, that machine tokens are issued there and verify, that clients are sent there first,
// and that the page says so.
func (d *drill) here(region string) func(context.Context) error {
	return func(ctx context.Context) error {
		token, err := d.machine.Token(ctx)
		if err != nil {
			return err
		}
		if _, err := d.validator.Verify(ctx, token.Value()); err != nil {
			return err
		}
		var metadata struct {
			Servers []string `json:"authorization_servers"`
		}
		_, document := d.auth.ResourceMetadata()
		if err := get(ctx, document, "/", &metadata); err != nil {
			return err
		}
		var shown regionjwt.Status
		if err := get(ctx, d.page, "/status.json", &shown); err != nil {
			return err
		}
		first := ""
		for _, r := range d.provider.Regions {
			if r.Name == region {
				first = r.Issuers[0]
			}
		}
		switch {
		case d.controller.Active() != region:
			return fmt.Errorf("%s is active", d.controller.Active())
		case token.Region() != region:
			return fmt.Errorf("machine tokens come from %s", token.Region())
		case metadata.Servers[0] != first:
			return fmt.Errorf("clients are sent to %s", metadata.Servers[0])
		case len(shown.Failover) != 1 || shown.Failover[0].Active != region:
			return errors.New("the page does not show it yet")
		}
		return nil
	}
}

// verifies requires that tokens of a region verify.
func (d *drill) verifies(region string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := d.validator.Verify(ctx, d.idp.Issue(region, issuertest.Claims{}))
		return err
	}
}

// well requires that all regions are healthy, and the secondary one still pinned.
func (d *drill) well(context.Context) error {
	s := d.controller.Status()
	for _, r := range s.Regions {
		if r.Health != "healthy" {
			return fmt.Errorf("%s is %s", r.Region, r.Health)
		}
	}
	if s.Active != secondary || !s.Pinned {
		return fmt.Errorf("%s is active", s.Active)
	}
	return nil
}

// show prints how things stand.
func (d *drill) show(ctx context.Context) {
	s := d.controller.Status()
	from := "nowhere"
	if token, err := d.machine.Token(ctx); err == nil {
		from = token.Region()
	}
	_, _ = fmt.Fprintf(d.out, "  active %s (%s, pinned: %t), machine tokens from %s, clients are sent to %s\n",
		s.Active, s.Cause, s.Pinned, from, d.controller.Issuers()[0])
	for _, line := range s.Next {
		_, _ = fmt.Fprintf(d.out, "  what would move it: %s\n", line)
	}
}

// get asks a handler for JSON.
func get(ctx context.Context, h http.Handler, path string, into any) error {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("%s answers %d", path, w.Code)
	}
	return json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(into)
}
