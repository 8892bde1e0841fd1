package jwks_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// A URL that need not be asked is compared once a day. What it misses is in Status until it lists it, and in the log once.
func TestMissingKeysStayInStatus(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Minute)
			n, out := newServers(), new(lines)
			n.at(regionA).list("one")
			n.at(regionB).list("one")
			c := newCache(t, n, jwks.Config{Logger: slog.New(slog.NewTextHandler(out, nil))}, pool("p", []string{regionA, regionB}))
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			go func() { _ = c.Run(ctx) }()
			time.Sleep(time.Minute)
			if asked { // as one of a token's unknown key
				require.Equal(t, 401, ask(t.Context(), c, "p", "unknown"))
			}
			n.at(regionA).list("one", "two")
			time.Sleep(26 * time.Hour)
			for range 24 {
				time.Sleep(time.Hour)
				require.Equal(t, []string{"two"}, c.Status()[1].MissingKeyIDs, "asked before: %t", asked)
			}
			require.Equal(t, 1, strings.Count(out.String(), "JWKS URL is missing keys"))
			n.at(regionB).list("one", "two")
			time.Sleep(26 * time.Hour)
			require.Empty(t, c.Status()[1].MissingKeyIDs)
			require.Equal(t, 1, strings.Count(out.String(), "JWKS URL lists all keys again"))
		})
	}
}
