package jwks_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
)

const (
	movedIssuer = "https://idp.example/p"
	metadataURL = movedIssuer + "/.well-known/openid-configuration"
	oldKeysURL  = "https://idp.example/old.json"
	newKeysURL  = "https://idp.example/new.json"
)

// moving is an issuer whose metadata name the old URL, which lists the key "one", until move is called. Then the new URL lists
// "two" as well, and the old one goes on answering.
func moving(t *testing.T) (n *servers, c *jwks.Cache, move func()) {
	n = newServers()
	n.at(oldKeysURL).list("one")
	n.at(newKeysURL).list("one", "two")
	uri := oldKeysURL
	n.at(metadataURL).answer = func(r *http.Request) *http.Response {
		n.mu.Lock()
		defer n.mu.Unlock()
		doc, _ := json.Marshal(map[string]any{"issuer": movedIssuer, "jwks_uri": uri})
		return response(r, http.StatusOK, nil, doc)
	}
	p := issuer.Provider{ID: "p", Regions: []issuer.Region{{Name: "a", Issuers: []string{movedIssuer}}}}
	c = newCache(t, n, jwks.Config{}, p)
	require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
	return n, c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		uri = newKeysURL
	}
}

// The first token of a key that only the new URL lists finds it in its own call.
func TestMovedKeySetIsFoundByItsFirstToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c, move := moving(t)
		time.Sleep(2 * time.Minute)
		move()
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
	})
}

// Unknown kids do not push the next look at the metadata away: an unknown kid every 12 minutes, and the new URL is found by the
// first.
func TestUnknownKeysDoNotKeepAMoveFromBeingSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c, move := moving(t)
		time.Sleep(2 * time.Minute)
		move()
		began := time.Now()
		for i := 0; n.at(newKeysURL).requests() == 0; i++ {
			require.Less(t, time.Since(began), 50*time.Hour)
			require.NotEqual(t, 200, ask(t.Context(), c, "p", fmt.Sprint("made-up-", i)))
			time.Sleep(12 * time.Minute)
		}
		t.Log("the new URL was asked after", time.Since(began)-12*time.Minute)
		require.LessOrEqual(t, time.Since(began), 13*time.Minute)
		require.Equal(t, 200, ask(t.Context(), c, "p", "two"))
	})
}

// Without an unknown kid the move is seen within a day.
func TestMetadataAreReadDaily(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, c, move := moving(t)
		time.Sleep(time.Minute)
		move()
		began := time.Now()
		for n.at(newKeysURL).requests() == 0 {
			require.Less(t, time.Since(began), 50*time.Hour)
			require.Equal(t, 200, ask(t.Context(), c, "p", "one"))
			time.Sleep(time.Minute)
		}
		t.Log("the new URL was asked after", time.Since(began))
		require.LessOrEqual(t, time.Since(began), 24*time.Hour+20*time.Minute)
	})
}

// Metadata that were read less than a minute ago are believed, so a key that moved since is unknown until the minute is over.
// Asked for again and again, it verifies at most ten seconds later.
func TestMoveWithinAMinuteOfTheLastLook(t *testing.T) {
	t.Parallel()
	for _, read := range []time.Duration{0, time.Second, 30 * time.Second, 59 * time.Second} {
		t.Run(read.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testMoveAfterALook(t, read) })
		})
	}
}

func testMoveAfterALook(t *testing.T, after time.Duration) {
	_, c, move := moving(t)
	time.Sleep(5 * time.Minute)
	require.Equal(t, 401, ask(t.Context(), c, "p", "made-up")) // reads the metadata
	time.Sleep(after)
	move()
	began, counted := time.Now(), newTally()
	for counted.count(200) == 0 && time.Since(began) < 5*time.Minute {
		counted.add(ask(t.Context(), c, "p", "two"))
		if counted.count(200) == 0 {
			time.Sleep(time.Second)
		}
	}
	took := time.Since(began)
	t.Log("verified after", took, "outcomes", counted.counts())
	require.Equal(t, 1, counted.count(200))
	require.LessOrEqual(t, took, time.Minute+10*time.Second-after)
	require.Zero(t, counted.count(503))
	require.Less(t, counted.last[401].Sub(began), time.Minute-after)
}
