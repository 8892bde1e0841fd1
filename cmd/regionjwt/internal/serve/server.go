package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
)

const (
	headerTime    = 5 * time.Second
	readTime      = 10 * time.Second
	idleTime      = 90 * time.Second
	maxMessage    = 16 << 20 // bytes of a request of Envoy: too long ones are errors, not decisions
	mistakesEvery = time.Minute
)

// server is the listeners of a process.
type server struct {
	log       *slog.Logger
	validator *regionjwt.Validator
	door      *Door
	metrics   *telemetry
	grace     time.Duration
	stopping  chan struct{} // closed when the process is asked to end
	all       []listener
	told      atomic.Int64 // when the last mistake was logged, in nanoseconds of Unix time
}

// listener is a place that was opened.
type listener struct {
	place
	net.Listener
	serve func() error
	stop  func(context.Context) error // it waits for requests until the context ends
}

// mistake logs that a proxy is not configured, at most once a minute.
func (s *server) mistake(dialect, problem string) {
	now, last := time.Now().UnixNano(), s.told.Load()
	if now-last > int64(mistakesEvery) && s.told.CompareAndSwap(last, now) {
		s.log.Error("proxy is not configured", slog.String("dialect", dialect), slog.String("problem", problem))
	}
}

// open opens all listeners, or none.
func (s *server) open(ctx context.Context, all []place) error {
	for _, p := range all {
		l, err := listen(ctx, p)
		if err != nil {
			for _, other := range s.all {
				_ = other.Close()
			}
			return err
		}
		one := listener{place: p, Listener: l}
		switch p.dialect {
		case Envoy:
			one.serve, one.stop = s.grpc(l)
		case "":
			one.serve, one.stop = s.http(l, StatusHandler(s.validator, s.metrics.handler()))
		default:
			one.serve, one.stop = s.http(l, s.door.Forward(p.dialect))
		}
		s.all = append(s.all, one)
	}
	return nil
}

func (s *server) http(l net.Listener, h http.Handler) (serve func() error, stop func(context.Context) error) {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		// Otherwise net/http itself answers "OPTIONS *" with 200, which admits the request.
		DisableGeneralOptionsHandler: true,
	}
	serve = func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	return serve, func(ctx context.Context) error { return errors.Join(server.Shutdown(ctx), server.Close()) }
}

func (s *server) grpc(l net.Listener) (serve func() error, stop func(context.Context) error) {
	server := grpc.NewServer(grpc.MaxRecvMsgSize(maxMessage), grpc.ConnectionTimeout(headerTime))
	authv3.RegisterAuthorizationServer(server, s.door.Authorization())
	healthpb.RegisterHealthServer(server, &health{ready: s.ready})
	stop = func(ctx context.Context) error {
		ended := make(chan struct{})
		go func() {
			server.GracefulStop()
			close(ended)
		}()
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			server.Stop()
			return ctx.Err()
		}
	}
	return func() error { return server.Serve(l) }, stop
}

// ready reports whether tokens can be verified, and the process will not end soon.
func (s *server) ready() error {
	select {
	case <-s.stopping:
		return errStopping
	default:
		return s.validator.Ready()
	}
}

// run serves until ctx ends or a listener fails, and then ends the requests.
func (s *server) run(ctx context.Context) error {
	failed := make(chan error, len(s.all))
	for _, l := range s.all {
		s.log.Info("listening", slog.String("dialect", cmp.Or(l.dialect, "status")), slog.String("address", l.Addr().String()))
		go func() {
			if err := l.serve(); err != nil {
				failed <- fmt.Errorf("%s: %w", l.address, err)
			}
		}()
	}
	var problem error
	select {
	case <-ctx.Done():
		s.log.Info("shutting down")
	case problem = <-failed:
	}
	close(s.stopping)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.grace)
	defer cancel()
	problems := make([]error, len(s.all)+1)
	var group sync.WaitGroup
	for i, l := range s.all {
		group.Go(func() { problems[i] = l.stop(grace) })
	}
	group.Wait()
	problems[len(s.all)] = s.metrics.close(grace)
	if err := errors.Join(problems...); err != nil {
		s.log.Warn("some requests were not answered", slog.Any("problem", oneLine(err)))
	}
	if problem != nil {
		return cli.Fail(cli.ExitCannotTell, "%w", problem)
	}
	return nil
}
