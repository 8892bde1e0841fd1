package jwks_test

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// Behind one URL stand backends of which a share misses a key that the others list. A token of that key arrives every 10 seconds
// for a day. Once the key was seen, hardly any of them is called bad.
func TestKeyMissingFromAShareOfAnswers(t *testing.T) {
	t.Parallel()
	runs := 10
	if longTests {
		runs = 100
	}
	for _, share := range []struct {
		thin float64
		most int // false 401 in ten runs
	}{{0.1, 1}, {0.33, 1}, {0.5, 2}, {0.67, 20}} {
		t.Run(fmt.Sprint(share.thin), func(t *testing.T) {
			t.Parallel()
			sum := newTally()
			fetches, before := 0, 0
			for run := range runs {
				synctest.Test(t, func(t *testing.T) {
					f, b := flappingDay(t, share.thin, uint64(run), sum)
					fetches, before = fetches+f, before+b
				})
			}
			t.Log("thin", share.thin, "runs", runs, "outcomes", sum.counts(), "401 before the key was first seen", before,
				"fetches a day", fetches/runs)
			if share.thin == 0.5 && runs == 10 {
				share.most = 1
			}
			require.LessOrEqual(t, sum.count(401), share.most*runs/10)
			require.Less(t, fetches/runs, 1000)
		})
	}
}

// flappingDay is one day from a fresh start. It returns the number of fetches, and of tokens that got 401 before the key was
// seen.
func flappingDay(t *testing.T, thin float64, seed uint64, sum *tally) (fetches, before int) {
	n, d := newServers(), newDice(seed+1000)
	s := n.at(keysURL)
	s.answer = func(r *http.Request) *http.Response {
		if d.Float64() < thin {
			return response(r, http.StatusOK, nil, document([]string{"one"}, nil))
		}
		return response(r, http.StatusOK, nil, document([]string{"one", "two"}, nil))
	}
	c := seededCache(t, n, jwks.Config{}, seed, pool("p", []string{keysURL}))
	seen := false
	for range int(24 * time.Hour / (10 * time.Second)) {
		got := ask(t.Context(), c, "p", "two")
		seen = seen || got == 200
		if seen {
			sum.add(got)
		} else if got == 401 {
			before++
		}
		time.Sleep(10 * time.Second)
	}
	return s.requests(), before
}
