package main

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/grpcauth"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// What of the service is not the default, so that minutes show what hours would.
const (
	authorityID = "shop"
	leeway      = time.Second
	refresh     = 10 * time.Second
	remembered  = 1024 // fewer than the tokens in use, so that the memory is full soon, and signatures go on being checked
)

// serviceConfig is what the process of the service is told first.
type serviceConfig struct {
	East, West        string // the iss of each region
	Dir               string // of snapshots and rules
	HTTP, GRPC, Debug string // addresses; "" is any port of the loopback interface
}

// serviceReady is its answer.
type serviceReady struct{ HTTP, GRPC, Debug string }

// runService is the service under test.
func runService(ctx context.Context, in io.Reader, out io.Writer) error {
	return serve(in, out, func(line []byte) (any, error) {
		var c serviceConfig
		if err := decode(line, &c); err != nil {
			return nil, err
		}
		return startService(ctx, c)
	})
}

// authority describes the two issuers: the keys of the first are discovered, those of the second are at a configured URL.
func authority(c serviceConfig) issuer.Provider {
	return issuer.Provider{ID: authorityID, Regions: []issuer.Region{
		{Name: "east", Issuers: []string{c.East}},
		{Name: "west", Issuers: []string{c.West}, JWKSURLs: []string{c.West + jwksPath}},
	}}
}

func snapshots(dir string) store.Trusted { return store.Dir(filepath.Join(dir, "snapshots")) }
func rules(dir string) store.Trusted     { return store.Dir(filepath.Join(dir, "rules")) }

func startService(ctx context.Context, c serviceConfig) (ready serviceReady, err error) {
	a := authority(c)
	m := newMeter()
	controller, err := failover.New(failover.Config{
		Provider: a, Automatic: true, MinHold: 20 * time.Second, OnEvent: m.moved,
	})
	if err != nil {
		return ready, err
	}
	list, err := revocation.New(revocation.Config{Store: rules(c.Dir)})
	if err != nil {
		return ready, err
	}
	v, err := regionjwt.New(regionjwt.Config{
		Policies:   []verifier.Policy{{Provider: a, Audience: verifier.Audience(api), Regions: controller}},
		Keys:       jwks.Config{RefreshInterval: refresh, Snapshots: snapshots(c.Dir), OnFetch: m.fetched},
		Revocation: list, Leeway: leeway, CacheSize: remembered,
		Hooks: verifier.Hooks{Verified: m.verified}, Failover: []*failover.Controller{controller},
	})
	if err != nil {
		return ready, err
	}
	if err := list.Load(ctx); err != nil {
		return ready, err
	}
	m.controller = controller
	for _, run := range []func(context.Context) error{v.Run, list.Run, controller.Run} {
		go func() { _ = run(ctx) }()
	}
	go m.beLate(ctx)
	return listen(ctx, c, v, controller, m)
}

// listen serves v over HTTP and gRPC, and its meter.
func listen(
	ctx context.Context, c serviceConfig, v *regionjwt.Validator, controller *failover.Controller, m *meter,
) (ready serviceReady, err error) {
	var listeners [3]net.Listener
	for i, address := range []string{c.HTTP, c.GRPC, c.Debug} {
		listeners[i], err = new(net.ListenConfig).Listen(ctx, "tcp", cmp.Or(address, "127.0.0.1:0"))
		if err != nil {
			return ready, err
		}
	}
	ready = serviceReady{listeners[0].Addr().String(), listeners[1].Addr().String(), listeners[2].Addr().String()}
	web, err := httpauth.New(httpauth.Config{Verifier: v, Metadata: &httpauth.Metadata{
		Resource: "http://" + ready.HTTP, AuthorizationServers: controller.AuthorizationServers,
	}})
	if err != nil {
		return ready, err
	}
	demand := middleware.Scopes(scope)
	calls, err := grpcauth.New(grpcauth.Config{Verifier: v, Default: []middleware.Requirement{demand}})
	if err != nil {
		return ready, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+ordersPath, web.Handler(orders{}, demand))
	mux.Handle("GET "+web.MetadataPath(), web.MetadataHandler())
	server := grpc.NewServer(grpc.ChainUnaryInterceptor(calls.Unary()), grpc.ChainStreamInterceptor(calls.Stream()))
	server.RegisterService(&ordersDesc, orders{})
	if err := calls.Validate(server); err != nil {
		return ready, err
	}
	for i, h := range map[int]http.Handler{0: mux, 2: m} {
		s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
		go func() { _ = s.Serve(listeners[i]) }()
	}
	go func() { _ = server.Serve(listeners[1]) }()
	return ready, nil
}
