package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
)

// subject is a server under load.
type subject struct {
	name, bare string // bare is the name of the server that it is compared with
	ask        func(ctx context.Context, n int) error
}

var errDenied = errors.New("a good request was denied")

// measure lets clients ask for some time.
func measure(ctx context.Context, s *subject, clients int, each time.Duration) (result, error) {
	for range 200 { // connections and caches
		if err := s.ask(ctx, 0); err != nil {
			return result{}, err
		}
	}
	times := make([][]time.Duration, clients)
	problems := make([]error, clients)
	began := time.Now()
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			for n := i; time.Since(began) < each; n += clients {
				at := time.Now()
				if problems[i] = s.ask(ctx, n); problems[i] != nil {
					return
				}
				times[i] = append(times[i], time.Since(at))
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	all := slices.Concat(times...)
	if err := errors.Join(problems...); err != nil || len(all) == 0 {
		return result{}, err
	}
	slices.Sort(all)
	return result{float64(len(all)) / took.Seconds(), all[len(all)/2], all[len(all)*99/100]}, nil
}

// askGRPC asks as Envoy does, with one token after the other.
func askGRPC(address string, tokens []string) (func(context.Context, int) error, func(), error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	client := authv3.NewAuthorizationClient(conn)
	ask := func(ctx context.Context, n int) error {
		response, err := client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
			Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
				Method: http.MethodGet, Path: "/orders/1", Host: "app.example", Headers: map[string]string{
					":authority": "app.example", ":path": "/orders/1", ":method": http.MethodGet, "accept": "*/*",
					"user-agent":    "curl/8.5.0",
					"authorization": "Bearer " + tokens[n%len(tokens)], "x-request-id": "7e0d6c1a-93c5-4a0e-b5a5-0d6c1a93c54a",
				},
			}},
		}})
		if err == nil && response.GetStatus().GetCode() != int32(codes.OK) {
			err = errDenied
		}
		return err
	}
	return ask, func() { _ = conn.Close() }, nil
}

// askHTTP asks as nginx does, with one token after the other.
func askHTTP(network, address, path string, tokens []string) func(context.Context, int) error {
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 1000,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}}
	return func(ctx context.Context, n int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://doors"+path, http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+tokens[n%len(tokens)])
		req.Header.Set("X-Original-Uri", "/orders/1")
		req.Header.Set("X-Original-Method", http.MethodGet)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("%w: %s", errDenied, resp.Status)
		}
		return nil
	}
}
