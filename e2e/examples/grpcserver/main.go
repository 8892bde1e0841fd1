// Grpcserver is a gRPC service that answers to access tokens issued in any region of a provider.
//
//	cd e2e/examples/grpcserver
//	go run .                                   # plays a story in memory, and checks it
//	go run . -user-pool us-east-1_AbCdEf123 -replica us-west-2 -client-id 7abc...
//
// Without flags it needs nothing: issuers, server and clients are all in the process, and it exits with status 1 if anything
// is not as it should be. With -user-pool it serves the tokens of a Cognito user pool until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpcserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	pool := flag.String("user-pool", "", "user pool ID, such as us-east-1_AbCdEf123; empty: play the story")
	replicas := flag.String("replica", "", "regions that the pool is replicated to, comma-separated")
	clients := flag.String("client-id", "", "app client IDs whose tokens are accepted, comma-separated")
	scope := flag.String("scope", "", "scope that calls demand; empty: none")
	listen := flag.String("listen", "127.0.0.1:9090", "address to listen on")
	cert := flag.String("cert", "", "file of the server's certificate; needed beyond loopback addresses")
	key := flag.String("key", "", "file of the certificate's key")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	if *pool == "" {
		if flag.NFlag() > 0 {
			return errors.New("the other flags need -user-pool")
		}
		return tell(ctx, os.Stdout)
	}
	provider := issuer.Cognito(*pool, words(*replicas)...)
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{{Provider: provider, Audience: verifier.CognitoAccess(words(*clients)...)}},
		Logger:   slog.Default(),
	})
	if err != nil {
		return err
	}
	listener, options, err := open(ctx, *listen, *cert, *key)
	if err != nil {
		return err
	}
	server, err := newServer(v, *scope, options...)
	if err != nil {
		_ = listener.Close()
		return err
	}
	refreshed := make(chan struct{})
	go func() { defer close(refreshed); _ = v.Run(ctx) }()
	go func() {
		<-ctx.Done()
		timer := time.AfterFunc(10*time.Second, server.Stop) // for streams whose tokens live longer
		defer timer.Stop()
		server.GracefulStop()
	}()
	slog.Info("listening", "address", listener.Addr())
	if err := server.Serve(listener); err != nil {
		return err
	}
	<-refreshed
	return nil
}

// open listens on address: with TLS where there is a certificate, and else on a loopback address only, since tokens are
// readable on the way.
func open(ctx context.Context, address, cert, key string) (net.Listener, []grpc.ServerOption, error) {
	var options []grpc.ServerOption
	if cert != "" || key != "" {
		c, err := credentials.NewServerTLSFromFile(cert, key)
		if err != nil {
			return nil, nil, err
		}
		options = append(options, grpc.Creds(c))
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); len(options) == 0 && (!ok || !tcp.IP.IsLoopback()) {
		_ = listener.Close()
		return nil, nil, fmt.Errorf("%s is not a loopback address: set -cert and -key", address)
	}
	return listener, options, nil
}

// words splits a comma-separated list.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
