package statuspage_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/verifier"
)

func ExampleHandler() {
	provider := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://us-east-1.idp.example"}},
		{Name: "us-west-2", Issuers: []string{"https://us-west-2.idp.example"}},
	}}
	server := issuertest.New(nil, provider, issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{server.Policy()},
		Failover: map[string]failover.Config{"shop": {Automatic: true, Threshold: 1}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	internal := http.NewServeMux() // of a listener that only operators and probes can reach
	internal.Handle("/status/", http.StripPrefix("/status", statuspage.Handler(v, "Orders")))

	server.Break("us-east-1")
	fmt.Println("all keys:", v.Preload(context.Background()) == nil)
	v.Failover("shop").Report("us-east-1", "login", time.Now(), errors.New("no answer"))
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
