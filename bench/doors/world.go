package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

const (
	cached   = 100    // tokens that come again: a service sees most tokens often
	distinct = 20_000 // tokens that have each been seen a while ago, or never
	patience = 30 * time.Second
	audience = "orders"
)

// world is the servers, and an issuer.
type world struct {
	subjects []*subject
	serve    *exec.Cmd // regionjwt serve
	ours     int       // subjects that are served by it
	closers  []func()
}

func (w *world) close() {
	for _, f := range w.closers {
		f()
	}
}

// start starts a program that ends with the world.
func (w *world) start(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // a program of this measurement
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.closers = append(w.closers, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, nil
}

// reached waits for a listener.
func reached(ctx context.Context, network, address string) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return c.Close()
		}
	}
	return fmt.Errorf("nothing listens on %s", address)
}

// newWorld starts the issuer and the servers, and issues tokens.
func newWorld(ctx context.Context, dir, other string) (*world, error) {
	w := &world{}
	idp := fakeissuer.New(nil, fakeissuer.Config{
		Layout: fakeissuer.IssuerPerRegion, Regions: []string{"one"}, Discovery: true, Algorithm: "RS256", Audience: audience,
	})
	idp.Serve()
	w.closers = append(w.closers, idp.Close)
	tokens := make([]string, distinct)
	for i := range tokens {
		tokens[i] = idp.Issue("one", fakeissuer.Claims{Subject: fmt.Sprint("user-", i), ExpiresIn: time.Hour})
	}
	err := errors.Join(w.bare(ctx, dir, tokens), w.regionjwt(ctx, dir, idp.Provider().Regions[0].Issuers[0], tokens))
	if err == nil && other != "" {
		err = w.oauth2Proxy(ctx, other, idp.Provider().Regions[0].Issuers[0], tokens)
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// bare starts the servers that admit everything.
func (w *world) bare(ctx context.Context, dir string, tokens []string) error {
	for _, kind := range []string{"grpc", "http"} {
		socket := filepath.Join(dir, "bare-"+kind)
		if _, err := w.start(ctx, os.Args[0], "bare", kind+"="+socket); err != nil {
			return err
		}
		if err := reached(ctx, "unix", socket); err != nil {
			return err
		}
		if kind == "http" {
			ask := askHTTP("unix", socket, "/", tokens[:cached])
			w.subjects = append(w.subjects, &subject{"bare forward-auth", "bare forward-auth", ask})
			continue
		}
		if err := w.grpc("bare ext_authz", socket, tokens[:cached]); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) grpc(name, socket string, tokens []string) error {
	ask, closeIt, err := askGRPC("unix:"+socket, tokens)
	if err != nil {
		return err
	}
	w.closers = append(w.closers, closeIt)
	w.subjects = append(w.subjects, &subject{name, "bare ext_authz", ask})
	return nil
}

// regionjwt builds and starts regionjwt serve.
func (w *world) regionjwt(ctx context.Context, dir, iss string, tokens []string) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "regionjwt"), ".") //nolint:gosec // its own
	build.Dir = filepath.Join("..", "cmd", "regionjwt")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	config, routes := filepath.Join(dir, "regionjwt.json"), filepath.Join(dir, "routes.json")
	doc := `{"policies": [{"provider": {"oidc": "` + iss + `"}, "audience": {"audience": ["` + audience + `"]}}]}`
	table := `{"routes": [{"path": "/orders/", "scopes": ["orders/read"]}],
		"headers": [{"name": "X-Auth-Subject", "value": "subject"}]}`
	if err := errors.Join(os.WriteFile(config, []byte(doc), 0o600), os.WriteFile(routes, []byte(table), 0o600)); err != nil {
		return err
	}
	grpcSocket, httpSocket := filepath.Join(dir, "grpc"), filepath.Join(dir, "http")
	var err error
	w.serve, err = w.start(ctx, filepath.Join(dir, "regionjwt"), "serve", "--config", config, "--routes", routes,
		"--listen", "envoy=unix:"+grpcSocket, "--listen", "nginx=unix:"+httpSocket)
	if err != nil {
		return err
	}
	if err := errors.Join(reached(ctx, "unix", grpcSocket), reached(ctx, "unix", httpSocket)); err != nil {
		return err
	}
	w.subjects = append(w.subjects,
		&subject{"regionjwt forward-auth", "bare forward-auth", askHTTP("unix", httpSocket, "/", tokens[:cached])},
		&subject{"regionjwt forward-auth, 20,000 tokens", "bare forward-auth", askHTTP("unix", httpSocket, "/", tokens)})
	w.ours = 4
	return errors.Join(w.grpc("regionjwt ext_authz", grpcSocket, tokens[:cached]),
		w.grpc("regionjwt ext_authz, 20,000 tokens", grpcSocket, tokens))
}

// oauth2Proxy starts oauth2-proxy, which checks the signature of each token and reads no scopes.
func (w *world) oauth2Proxy(ctx context.Context, program, iss string, tokens []string) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	_ = l.Close()
	_, err = w.start(ctx, program, "--http-address="+address, "--provider=oidc", "--oidc-issuer-url="+iss,
		"--client-id="+audience, "--client-secret=none", "--cookie-secret=0123456789abcdef0123456789abcdef",
		"--email-domain=*", "--oidc-email-claim=sub", "--skip-jwt-bearer-tokens=true", "--upstream=static://202",
		"--request-logging=false", "--auth-logging=false",
		"--standard-logging=false", "--insecure-oidc-allow-unverified-email=true")
	if err != nil {
		return err
	}
	if err := reached(ctx, "tcp", address); err != nil {
		return err
	}
	ask := askHTTP("tcp", address, "/oauth2/auth", tokens[:cached])
	w.subjects = append(w.subjects, &subject{"oauth2-proxy /oauth2/auth", "bare forward-auth", ask})
	return nil
}

// admit is an ext_authz server that admits everything.
type admit struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements the service.
func (admit) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

// runBare serves KIND=SOCKET until ctx ends.
func runBare(ctx context.Context, what string) error {
	kind, socket, _ := strings.Cut(what, "=")
	l, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return err
	}
	if kind == "grpc" {
		server := grpc.NewServer()
		authv3.RegisterAuthorizationServer(server, admit{})
		return server.Serve(l)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	return server.Serve(l)
}
