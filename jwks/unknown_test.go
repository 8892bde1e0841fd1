package jwks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
)

// A mirror that lags brings a withdrawn key back, as a token with it has the mirror asked. It goes for good once the mirror has
// caught up: every refresh asks the mirror as long as the key is its alone.
func TestKeyThatALaggingMirrorBroughtBack(t *testing.T) {
	inBubble(t, layouts["one issuer, mirrored"], nil, func(t *testing.T, w world) {
		defer running(t, w)()
		old := w.mustHave(east)
		w.Lag(west)
		w.Rotate(east)
		w.mustHave(east)
		w.Withdraw(east)
		time.Sleep(time.Hour)
		keys, err := w.Keys(t.Context(), w.issuerOf(east), old.ID)
		require.NoError(t, err, "a mirror still publishes it")
		require.Equal(t, old.Thumbprint, keys[0].Thumbprint)
		w.Mend(west)
		time.Sleep(20 * time.Minute)
		for range 3 {
			_, err = w.Keys(t.Context(), w.issuerOf(east), old.ID)
			require.ErrorIs(t, err, jwks.ErrUnknownKey)
			time.Sleep(time.Minute)
		}
	})
}

func TestFloodOfUnknownKeys(t *testing.T) {
	inBubble(t, layouts["issuer per region"], nil, func(t *testing.T, w world) {
		w.mustHave(east)
		began := time.Now()
		before := w.Fetches(east)
		rotated := false
		for i := range 10_000 {
			_, err := w.Keys(t.Context(), w.issuerOf(east), randomID(i))
			if err == nil || rotated {
				require.ErrorIs(t, err, jwks.ErrUnknownKey)
			}
			time.Sleep(5 * time.Millisecond)
			if i == 5000 {
				w.Rotate(east)
				rotated = true
				at := time.Now()
				for {
					if _, err := w.ask(east); err == nil {
						break
					}
					time.Sleep(100 * time.Millisecond)
				}
				require.LessOrEqual(t, time.Since(at), 11*time.Second, "a real rotation gets through")
			}
		}
		budget := 5 + int(time.Since(began)/(10*time.Second)) + 1
		require.LessOrEqual(t, w.Fetches(east)-before, budget)
	})
}

func TestUnknownKeyIsCertainOrNot(t *testing.T) {
	inBubble(t, layouts["one issuer, other keys"], nil, func(t *testing.T, w world) {
		iss := w.issuerOf(east)
		w.Break(west)
		w.mustHave(east)
		_, err := w.Keys(t.Context(), iss, "nobody-has-it")
		require.ErrorIs(t, err, jwks.ErrUnavailable, "the dark region may have it")
		require.ErrorIs(t, w.Doubt(iss, w.KeyID(east)), jwks.ErrUnavailable, "or another key of the same name")
		w.Mend(west)
		time.Sleep(2 * time.Second)
		_, err = w.Keys(t.Context(), iss, "nobody-has-it-either")
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		require.NoError(t, w.Doubt(iss, w.KeyID(east)))
		_, err = w.Keys(t.Context(), "https://elsewhere.example", "kid")
		require.ErrorIs(t, err, jwks.ErrUnknownIssuer)
		require.NoError(t, w.Doubt("https://elsewhere.example", "kid"))
	})
}

// A region that was dark for longer than keys are used for does not keep tokens of unknown keys in doubt for ever.
func TestDarkForGood(t *testing.T) {
	inBubble(t, layouts["one issuer, other keys"], nil, func(t *testing.T, w world) {
		w.Break(west)
		w.mustHave(east)
		time.Sleep(25 * time.Hour)
		_, err := w.Keys(t.Context(), w.issuerOf(east), "nobody-has-it")
		require.ErrorIs(t, err, jwks.ErrUnavailable, "that nobody asked it does not mean that it is dark")
		for range 26 {
			time.Sleep(time.Hour)
			w.mustHave(east)
		}
		_, err = w.Keys(t.Context(), w.issuerOf(east), "nobody-has-it")
		require.ErrorIs(t, err, jwks.ErrUnknownKey)
		require.NoError(t, w.Doubt(w.issuerOf(east), w.KeyID(east)))
	})
}

// A region that has not answered since a key appeared may be one that signs with it.
func TestRegionsAreNeverGuessed(t *testing.T) {
	inBubble(t, layouts["one issuer, other keys"], nil, func(t *testing.T, w world) {
		w.Break(west)
		require.Equal(t, []string{east, west}, w.mustHave(east).Regions, "west has not answered yet")
		w.Mend(west)
		time.Sleep(2 * time.Second)
		w.mustHave(west)
		require.Equal(t, []string{east}, w.mustHave(east).Regions)
		w.Break(west)
		time.Sleep(time.Minute)
		w.Rotate(east)
		require.Equal(t, []string{east, west}, w.mustHave(east).Regions, "west has not answered since the key appeared")
		w.Mend(west)
		for range 5 {
			time.Sleep(time.Minute)
			w.mustHave(east)
		}
		synctest.Wait()
		require.Equal(t, []string{east}, w.mustHave(east).Regions)
	})
}

func TestSameNameInTwoRegions(t *testing.T) {
	t.Parallel()
	a := authorities(issuertest.New(t, issuertest.Config{Layout: issuertest.OneIssuer, Algorithm: "ES256"}))[0]
	one, two := jwk(t), jwk(t)
	s, err := jwks.NewStatic(jwks.StaticSet{Authority: a, JWKS: map[string][]byte{east: one, west: two}})
	require.NoError(t, err)
	keys, err := s.Keys(t.Context(), a.Regions[0].Issuers[0], "k")
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.NotEqual(t, keys[0].Thumbprint, keys[1].Thumbprint)
	require.Equal(t, []string{east}, keys[0].Regions)
	require.Equal(t, []string{west}, keys[1].Regions)
	require.Zero(t, keys[0].Age())
}
