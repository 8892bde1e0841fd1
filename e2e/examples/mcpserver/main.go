// Mcpserver is an MCP server whose tools answer to access tokens of a Cognito user pool, issued in any of its regions. Clients
// find out from its metadata document where to get them: RFC 9728.
//
// Without flags it shows itself, in memory and within seconds: a server, a client, one region lost and then both. It exits
// with status 1 if anything is not as it should be. With a user pool it serves:
//
//	cd e2e/examples/mcpserver
//	go run .
//	go run . -user-pool us-east-1_AbCdEf123 -replica us-west-2 -client-id 7abc... -resource https://orders.example.com/mcp
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mcpserver:", err)
		os.Exit(1)
	}
}

func run() error {
	pool := flag.String("user-pool", "", "user pool ID, such as us-east-1_AbCdEf123; without any flag there is a demonstration")
	replicas := flag.String("replica", "", "regions that the pool is replicated to, comma-separated")
	clients := flag.String("client-id", "", "app client IDs that are accepted, comma-separated (required with -user-pool)")
	scope := flag.String("scope", "", "scope that the server demands; empty: none. cancel_order demands "+cancelScope+" as well")
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	resource := flag.String("resource", "", "URL of /mcp as its clients know it; empty: http://<listen>/mcp")
	flag.Parse()
	ctx, interrupted := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer interrupted()
	if flag.NFlag() == 0 {
		return demonstrate(ctx, os.Stdout)
	}
	provider := issuer.Cognito(*pool, words(*replicas)...)
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if *resource == "" {
		*resource = "http://" + listener.Addr().String() + "/mcp"
	}
	s, err := newServer(config{
		provider: provider, clients: words(*clients), resource: *resource, scope: *scope, logger: slog.Default(),
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	slog.Info("listening", "address", listener.Addr().String(), "resource", *resource)
	return serve(ctx, listener, s.handler, s.validator)
}

// serve serves until ctx ends.
func serve(ctx context.Context, listener net.Listener, h http.Handler, v *regionjwt.Validator) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	refreshed := make(chan struct{})
	go func() { defer close(refreshed); _ = v.Run(ctx) }()
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		cancel()
		<-refreshed
		return err
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if server.Shutdown(grace) != nil { // a session's stream lasts as long as its client stays
		_ = server.Close()
	}
	<-refreshed
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// words splits a comma-separated list.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
