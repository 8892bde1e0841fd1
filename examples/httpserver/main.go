// Httpserver is the smallest real service: one handler that answers to access tokens of a Cognito user pool, issued in
// any of its regions.
//
//	go run ./examples/httpserver -user-pool us-east-1_AbCdEf123 -replica us-west-2 -client-id 7abc...
//	curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/orders
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "httpserver:", err)
		os.Exit(1)
	}
}

func run() error {
	pool := flag.String("user-pool", "", "user pool ID, such as us-east-1_AbCdEf123 (required)")
	replicas := flag.String("replica", "", "regions that the pool is replicated to, comma-separated")
	clients := flag.String("client-id", "", "app client IDs whose tokens are accepted, comma-separated (required)")
	scope := flag.String("scope", "", "scope that /orders demands; empty: none")
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()

	provider := issuer.Cognito(*pool, words(*replicas)...)
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{Provider: provider, Audience: verifier.CognitoAccess(words(*clients)...)}},
		Logger:   slog.Default(),
	})
	if err != nil {
		return err
	}
	var requirements []middleware.Requirement
	if *scope != "" {
		requirements = append(requirements, middleware.Scopes(*scope))
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", httpauth.Require(v, requirements...)(http.HandlerFunc(orders)))
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) { ready(w, v) })

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	refresh, cancel := context.WithCancel(context.Background())
	defer cancel() // when the last request has been answered
	go func() { _ = v.Run(refresh) }()

	server := &http.Server{Addr: *listen, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	slog.Info("listening", "address", *listen)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	return server.Shutdown(grace)
}

func orders(w http.ResponseWriter, r *http.Request) {
	token := verifier.FromContext(r.Context())
	_, _ = fmt.Fprintf(w, "orders of %s, whose token region %q issued\n", token.Subject(), strings.Join(token.Regions(), " or "))
}

// ready answers 200 once tokens can be verified.
func ready(w http.ResponseWriter, v *regionjwt.Validator) {
	if err := v.Ready(); err != nil {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

// words splits a comma-separated list.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
