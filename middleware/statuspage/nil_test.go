package statuspage_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/nils/nilstest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/revocation"
)

type keysFunc func() []jwks.Status

func (f keysFunc) Status() []jwks.Status { return f() }

type rulesFunc func() revocation.Status

func (f rulesFunc) Status() revocation.Status { return f() }

type controllerFunc func() failover.State

func (f controllerFunc) State() failover.State { return f() }

func TestNilsAreRefused(t *testing.T) {
	t.Parallel()
	good := keysFunc(func() []jwks.Status { return nil })
	for name, c := range map[string]struct {
		config statuspage.Config
		want   string
	}{
		"nil Cache":           {statuspage.Config{Keys: (*jwks.Cache)(nil)}, "statuspage: Keys"},
		"nil keys function":   {statuspage.Config{Keys: keysFunc(nil)}, "statuspage: Keys"},
		"nil List":            {statuspage.Config{Keys: good, Rules: (*revocation.List)(nil)}, "statuspage: Rules"},
		"nil rules function":  {statuspage.Config{Keys: good, Rules: rulesFunc(nil)}, "statuspage: Rules"},
		"nil Controller":      {statuspage.Config{Controllers: []statuspage.Controller{(*failover.Controller)(nil)}}, "Controllers[0] is nil"},
		"no Controller":       {statuspage.Config{Controllers: []statuspage.Controller{nil}}, "Controllers[0] is nil"},
		"nil controller func": {statuspage.Config{Controllers: []statuspage.Controller{controllerFunc(nil)}}, "Controllers[0] is nil"},
		"negative Reload":     {statuspage.Config{Keys: good, Reload: -time.Second}, "statuspage: Reload"},
	} {
		_, err := statuspage.New(c.config)
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestPagesThatNewHasNotMade(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health", nil)
	nilstest.Methods(t, "New", nil, []any{httptest.NewRecorder(), r},
		(*statuspage.Page)(nil), new(statuspage.Page), (*statuspage.Events)(nil), new(statuspage.Events))
	for _, p := range []*statuspage.Page{nil, {}} {
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
	}
}
