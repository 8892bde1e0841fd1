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
	cached      = 1024 // fewer than the tokens in use, so that the memory is full soon, and signatures go on being checked
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

// providerOf describes the two issuers: the keys of the first are discovered, those of the second are at a configured URL.
func providerOf(c serviceConfig) issuer.Provider {
	return issuer.Provider{ID: authorityID, Regions: []issuer.Region{
		{Name: "east", Issuers: []string{c.East}},
		{Name: "west", Issuers: []string{c.West}, JWKSURLs: []string{c.West + jwksPath}},
	}}
}

func snapshots(dir string) store.Trusted { return store.Dir(filepath.Join(dir, "snapshots")) }
func rules(dir string) store.Trusted     { return store.Dir(filepath.Join(dir, "rules")) }

func startService(ctx context.Context, c serviceConfig) (ready serviceReady, err error) {
	a := providerOf(c)
	m := newMeter()
	v, err := regionjwt.New(regionjwt.Config{
		Policies:   []verifier.Policy{{Provider: a, Audience: verifier.Audience(api)}},
		Keys:       jwks.Config{RefreshInterval: refresh, Snapshots: snapshots(c.Dir), OnFetch: m.fetched},
		Tokens:     verifier.Config{Leeway: leeway, CacheSize: cached, OnDecision: m.verified},
		Revocation: &revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{rules(c.Dir)}}},
		Failover:   map[string]failover.Config{a.ID: {Automatic: true, HoldDown: 20 * time.Second, OnChange: m.moved}},
	})
	if err != nil {
		return ready, err
	}
	if err := v.Revocation().Load(ctx); err != nil {
		return ready, err
	}
	controller := v.Failover(a.ID)
	m.controller, m.rules = controller, v.Revocation()
	go func() { _ = v.Run(ctx) }()
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
	web, err := httpauth.New(v, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: "http://" + ready.HTTP, AuthorizationServers: controller.Issuers,
	}})
	if err != nil {
		return ready, err
	}
	demand := middleware.Scopes(scope)
	calls, err := grpcauth.New(v, grpcauth.Config{Default: []middleware.Requirement{demand}})
	if err != nil {
		return ready, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+ordersPath, web.Require(demand)(orders{}))
	mux.Handle(web.ResourceMetadata())
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
