package statuspage_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
)

func ExampleNew() {
	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	defer world.Close()
	cache, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
	if err != nil {
		fmt.Println(err)
		return
	}
	var events statuspage.Events
	controller, err := failover.New(failover.Config{
		Provider: world.Provider(), Automatic: true, FailAfter: 1, OnEvent: events.Failover,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	page, err := statuspage.New(statuspage.Config{
		Keys: cache, Controllers: []statuspage.Controller{controller}, Events: &events,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	internal := http.NewServeMux() // of a listener that only operators and probes reach
	internal.Handle("/status/", http.StripPrefix("/status", page))

	world.Break("us-east-1")
	fmt.Println("all keys:", cache.Preload(context.Background()) == nil)
	controller.Report("us-east-1", errors.New("it does not answer"))
	for _, path := range []string{"health", "health/us-east-1", "health/us-west-2", "active/us-west-2"} {
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/status/"+path, nil)
		w := httptest.NewRecorder()
		internal.ServeHTTP(w, r)
		fmt.Print(path, " ", w.Code, " ", w.Body)
	}
	// Output:
	// all keys: false
	// health 200 status: healthy
	// health/us-east-1 503 status: unhealthy
	// health/us-west-2 200 status: healthy
	// active/us-west-2 200 status: active
}
