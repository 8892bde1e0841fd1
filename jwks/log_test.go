package jwks_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// The log has a line for each change of state, with the regions that it is about, and none for what only goes on.
func TestTheLogNamesTheRegion(t *testing.T) {
	var lines bytes.Buffer
	silent := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	change := func(c *jwks.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{ReplaceAttr: silent}))
	}
	inBubble(t, issuertest.Config{Layout: issuertest.IssuerPerRegion}, change, func(t *testing.T, w world) {
		stop := running(t, w.Cache)
		w.mustHave(east)
		w.mustHave(west)
		w.Break(west)
		time.Sleep(30 * time.Hour)
		w.Mend(west)
		time.Sleep(time.Hour)
		stop()
		var told []string
		for line := range strings.Lines(lines.String()) {
			_, text, _ := strings.Cut(line, `msg="`)
			message, _, _ := strings.Cut(text, `"`)
			region := "nobody's"
			for _, name := range []string{east, west} {
				if strings.Contains(line, "regions=["+w.Authority().ID+"/"+name+"]") {
					region = name
				}
			}
			told = append(told, message+" "+region)
		}
		require.ElementsMatch(t, []string{
			"keys changed " + east, "keys changed " + west, "key set does not answer " + west, "keys are too old to be used " + west,
			"key set answers again " + west, "keys can be used again " + west,
		}, told, lines.String())
	})
}
