package keystate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
)

func TestRulesOfUnreadableEntries(t *testing.T) {
	t.Parallel()
	unreadable := func(p *play, kid string) bool { return p.issuer().Unreadable(question(kid), p.now.time()) }
	playAll(t, &single, []rule{
		{"an entry that cannot be read answers for a minute", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, unreadable: keyA}, fact{})
			require.True(t, unreadable(p, "a"))
			require.False(t, unreadable(p, "b"))
			require.False(t, unreadable(p, "x"))
			p.now = p.now.add(minute - 1)
			require.True(t, unreadable(p, "a"))
			p.now = p.now.add(1)
			require.False(t, unreadable(p, "a"))
		}},
		{"it does not answer once the URL fails", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, unreadable: keyA}, fact{})
			p.saysAll(second, document{}, fact{kind: keystate.Failed})
			require.False(t, unreadable(p, "a"))
		}},
		{"an entry that policy forbids is no such entry", func(t *testing.T, p *play) {
			p.saysAll(0, document{listed: keyB, forbidden: keyA}, fact{})
			require.False(t, unreadable(p, "a"))
		}},
	})
}
