package monitor

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"time"

	"github.com/regionjwt/regionjwt/internal/backoff"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/store"
)

const (
	loadTimeout = 2 * time.Second
	saveRounds  = 3
)

// documentName is the name of the document of a monitor about a region. Each monitor writes its own, so that none overwrites
// another one.
func documentName(monitor, provider, region string) string {
	return "regionjwt/verdict/" + monitor + "/" + url.PathEscape(provider) + "/" + url.PathEscape(region)
}

// Save replaces the last verdict of a monitor about a region in a store by what Sign returned.
func Save(ctx context.Context, s store.Store, signed []byte) error {
	if nils.Is(s) {
		return errors.New("monitor: the store is nil")
	}
	c, ok := jose.Split(string(signed))
	var b jose.Buffer
	j, decoded := b.Decode(c)
	if !ok || !decoded || len(signed) > maxSigned {
		return errMalformed
	}
	header, err := strictjson.Parse(nil, j.Header)
	if err != nil {
		return errMalformed
	}
	var v signedVerdict
	if err := strictjson.Unmarshal(j.Payload, &v); err != nil || v.check() != nil {
		return errMalformed
	}
	name := documentName(strictjson.Find(header, "kid").Text(), v.Provider, v.Region)
	for range saveRounds {
		var revision string
		_, revision, err = s.Load(ctx, name, "")
		if err != nil && !errors.Is(err, store.ErrNotFound) && revision == "" {
			return err
		}
		if _, err = s.Save(ctx, name, signed, revision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}

// poll looks for a verdict in a store until ctx ends.
func (r *Receiver) poll(ctx context.Context, s store.Store, name string) {
	var last []byte
	revision, problem := "", ""
	for ctx.Err() == nil {
		var found []byte
		var err error
		var now string
		within, cancel := context.WithTimeout(ctx, loadTimeout)
		if panicked := guard.Apart("Stores", func() { found, now, err = s.Load(within, name, revision) }); panicked != nil {
			found, err = nil, panicked
		}
		cancel()
		is := ""
		switch {
		case err == nil:
			revision = now
			if bytes.Equal(found, last) {
				break
			}
			last = found
			if err := r.Accept(found); err != nil {
				r.config.Logger.Warn("verdict rejected", "document", name, "error", err)
			}
		case errors.Is(err, store.ErrNotModified), errors.Is(err, store.ErrNotFound):
		default:
			is = "unavailable"
		}
		if is != problem && ctx.Err() == nil {
			level := slog.LevelInfo // it answers again
			if is != "" {
				level = slog.LevelWarn
			}
			r.config.Logger.Log(ctx, level, "store of verdicts", "document", name, "problem", is)
			problem = is
		}
		timer := time.NewTimer(backoff.Spread(r.config.PollInterval, rand.Float64())) //nolint:gosec // it is no secret
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}
