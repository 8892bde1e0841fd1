package statuspage_test

import (
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
)

// wild is a part that ends in its own way while on is set.
type wild struct {
	on     bool
	asked  int
	ending func()
}

func (w *wild) may() {
	w.asked++
	if w.on {
		w.ending()
	}
}

type (
	wildKeys       struct{ *wild }
	wildController struct{ *wild }
	wildRules      struct{ *wild }
)

func (w wildKeys) Status() []jwks.Status {
	w.may()
	return []jwks.Status{{Provider: "a", Region: "r", State: "fresh"}}
}

func (w wildController) State() failover.State {
	w.may()
	return failover.State{Provider: "a", Active: "r", Regions: []failover.RegionState{{Name: "r"}}}
}

func (w wildRules) Status() revocation.Status {
	w.may()
	return revocation.Status{Known: true}
}

// A part that panics makes the page answer 503 for as long as it does so, and is asked once a second at most.
func TestAPartThatPanicsIsUnavailable(t *testing.T) {
	t.Parallel()
	for ending, end := range map[string]func(){"panic": func() { panic("s3cret") }, "Goexit": runtime.Goexit} {
		for name, set := range map[string]func(*statuspage.Config, *wild){
			"Keys":       func(c *statuspage.Config, w *wild) { c.Keys = wildKeys{w} },
			"Controller": func(c *statuspage.Config, w *wild) { c.Controllers = []statuspage.Controller{wildController{w}} },
			"Rules":      func(c *statuspage.Config, w *wild) { c.Rules = wildRules{w} },
		} {
			t.Run(ending+"/"+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := &wild{ending: end}
					c := statuspage.Config{Keys: wildKeys{&wild{}}}
					set(&c, w)
					p := newPage(t, c)
					w.on = true
					w.asked = 0
					for _, target := range []string{"/", "/status.json", "/health", "/health/r", "/active/r"} {
						answer := ask(p, http.MethodGet, target, "")
						require.Equal(t, http.StatusServiceUnavailable, answer.Code, target)
						require.NotContains(t, answer.Body.String(), "s3cret")
					}
					require.Equal(t, 1, w.asked)
					w.on = false
					time.Sleep(time.Second)
					require.Equal(t, http.StatusOK, status(p, "/health"))
				})
			})
		}
	}
}

// A Controller that panics when New asks it for its authority is an error of New.
func TestAControllerThatPanicsIsAnErrorOfNew(t *testing.T) {
	t.Parallel()
	w := &wild{on: true, ending: func() { panic("s3cret") }}
	_, err := statuspage.New(statuspage.Config{Controllers: []statuspage.Controller{wildController{w}}})
	require.ErrorContains(t, err, "statuspage: Controllers[0]")
	require.NotContains(t, err.Error(), "s3cret")
}
