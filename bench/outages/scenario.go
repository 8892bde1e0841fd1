package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// none is the cell of a library that has no such feature.
const none = "–"

// Words of cells.
const (
	okay    = "ok"
	refused = "refused"
)

// scenario is one row.
type scenario struct {
	id    string
	title string
	alone bool // nothing else may run meanwhile
	play  func(l peers.Library) string
}

// scenarios lists the rows.
func scenarios() []scenario { //nolint:funlen // a table
	return []scenario{
		{
			id: "start503", play: start503,
			title: "the key server answers 503 at start, then recovers: a token verifies after (limit 15 s)",
		},
		{
			id: "unreachable", play: unreachable,
			title: "nothing listens where the keys should be: what the error is",
		},
		{
			id: "hang", play: hangs,
			title: "the issuer hangs, a refresh is due: a token of a known key, with a context of 300 ms",
		},
		{
			id: "heal", play: heals,
			title: "... and heals: a token of a new key verifies after (limit 12 s)",
		},
		{
			id: "empty", play: empty(`{}`, false),
			title: "the key server answers `200 {}`: tokens of the known key",
		},
		{
			id: "nokeys", play: empty(`{"keys":[]}`, false),
			title: "the key server answers `{\"keys\":[]}`: tokens of the known key",
		},
		{
			id: "nokeysonce", play: empty(`{"keys":[]}`, true),
			title: "... once only: tokens of the known key right after that",
		},
		{
			id: "rotation", play: rotation,
			title: "a rotation right after one token with a made-up kid: verifies after (limit 12 s)",
		},
		{
			id: "attack", play: attack,
			title: "a made-up kid every 20 ms, and a rotation 2 s later: verifies after (limit 12 s); fetches in all",
		},
		{
			id: "kids", play: kids,
			title: "200 tokens with made-up kids, 4 at a time: fetches",
		},
		{
			id: "flaps", play: flaps,
			title: "every second answer misses a published key, as of a backend that lags: 50 tokens of that key",
		},
		{
			id: "copies", play: copies,
			title: "a cache serves a copy (Age: 60) of the keys before a rotation for 3 s: verifies after (limit 12 s)",
		},
		{
			id: "dies", play: dies,
			title: "open connections fall silent, new ones work, a rotation: verifies after (limit 12 s)",
		},
		{
			id: "limits", play: limits,
			title: "a rotation while the server answers 429 with Retry-After: 2 for 2 s: verifies after (limit 12 s); fetches",
		},
		{
			id: "reuses", play: reuses,
			title: "a key is replaced under its kid: verifies after (limit 12 s)",
		},
		{
			id: "signatures", play: signatures,
			title: "50 tokens with a known kid and a bad signature: fetches",
		},
		{
			id: "leave", play: leave,
			title: "the first caller leaves during a shared fetch: the second one",
		},
		{
			id: "binding", play: binding,
			title: "iss of B, signed with the key of A, both configured",
		},
		{
			id: "odd", play: odd,
			title: "an odd key beside a good one (kty unknown, n empty, point off the curve, junk in x5c): good key works",
		},
		{
			id: "tokens", play: tokens,
			title: "properly signed but wrong: unknown crit, 2 iss, iss EVIL + ISS right, no exp, typ logout+jwt, 1 MB",
		},
		{
			id: "large", alone: true, play: large,
			title: "64 MB of JWKS at start: taken?, memory at the peak",
		},
		{
			id: "bomb", alone: true, play: bomb,
			title: "64 MB of JWKS in 64 KB of gzip at start: taken?, memory at the peak",
		},
	}
}

// stage sets one issuer and one subject up, has the subject verify a token, and calls f.
func stage(l peers.Library, refresh time.Duration, f func(p *idp, s peers.Subject) string) string {
	p, err := newIDP(0)
	if err != nil {
		return cannot(err)
	}
	defer p.close()
	s, err := open(l, setupOf(refresh, p.endpoint()), opening)
	if err != nil {
		return cannot(err)
	}
	defer s.Close()
	if err := warm(p, s); err != nil {
		return cannot(err)
	}
	return f(p, s)
}

// warm has s verify a good token of p.
func warm(p *idp, s peers.Subject) error {
	var err error
	if _, ok := until(opening, 100*time.Millisecond, func() error {
		err = verify(s, p.token(), patience)
		return err
	}); !ok {
		return err
	}
	return nil
}

// cannot is the cell of a library that does not verify a good token to begin with.
func cannot(err error) string { return "does not start: " + err.Error() }

// verdict is the cell for one answer.
func verdict(err error) string {
	switch {
	case err == nil:
		return okay
	case errors.Is(err, errBlocked):
		return "**blocked**"
	}
	return refused
}

// within is the cell for a time that until has measured.
func within(d time.Duration, ok bool) string {
	if !ok {
		return fmt.Sprintf("> %.0f s", d.Seconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
