// Failover-drill tells the whole story of a lost region in one command, in memory, within half a minute: a controller watches the
// regions, machine tokens follow it, an operator pins a region and resumes, and a page shows how things stand.
//
//	go run ./examples/failover-drill
//	go run ./examples/failover-drill -listen localhost:8080    # and look at the page meanwhile, and afterwards
//
// It exits with status 1 if anything is not as it should be.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/middleware/statuspage"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	primary   = "us-east-1"
	secondary = "us-west-2"
)

func main() {
	listen := flag.String("listen", "", "`address` to serve the status page at, until interrupted")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *listen); err != nil {
		fmt.Fprintln(os.Stderr, "failover-drill:", err)
		stop()
		os.Exit(1) //nolint:gocritic // what was deferred has been done
	}
}

func run(ctx context.Context, out io.Writer, listen string) error {
	d, err := newDrill(out)
	if err != nil {
		return err
	}
	defer d.close()
	running, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { _ = d.controller.Run(running) })
	parts.Go(func() { _ = d.validator.Run(running) })
	if listen != "" {
		if err := serve(running, &parts, listen, d.page); err != nil {
			return err
		}
	}
	if err := d.tell(running); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "\nAll was as it should be.")
	if listen != "" {
		_, _ = fmt.Fprintf(out, "The page is at http://%s/ until you interrupt.\n", listen)
		<-ctx.Done()
	}
	return nil
}

func serve(ctx context.Context, parts *sync.WaitGroup, address string, h http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	parts.Go(func() { _ = s.Serve(l) })
	parts.Go(func() {
		<-ctx.Done()
		_ = s.Close()
	})
	return nil
}

// drill is a service with everything that the story is about.
type drill struct {
	out        io.Writer
	world      *issuertest.World
	authority  issuer.Provider
	idp        *provider
	events     statuspage.Events
	controller *failover.Controller
	machine    *clientcredentials.Source
	validator  *regionjwt.Validator
	auth       *httpauth.Middleware
	page       *statuspage.Page
}

func newDrill(out io.Writer) (*drill, error) {
	d := &drill{out: out, world: issuertest.New(nil, issuertest.Config{
		Layout: issuertest.IssuerPerRegion, Regions: []string{primary, secondary},
	})}
	d.authority = d.world.Provider()
	d.idp = &provider{world: d.world, authority: d.authority, keys: d.world.Client().Transport, dark: map[string]bool{}}
	client := &http.Client{Transport: d.idp}
	var err error
	// The numbers are small so that the story is short; the defaults are made for production.
	if d.controller, err = failover.New(failover.Config{
		Provider: d.authority, Automatic: true, FailAfter: 2, RecoverAfter: 2, MinHold: 3 * time.Second,
		Probe: failover.HTTPProbe(client), ProbeEvery: time.Second,
		OnEvent: d.told,
	}); err != nil {
		return nil, err
	}
	if d.machine, err = clientcredentials.New(clientcredentials.Config{
		Provider:    d.authority,
		Credentials: map[string]clientcredentials.Credentials{"": {ClientID: "billing", Secret: "not a secret"}},
		Prefer:      d.controller.Active,
		Report:      d.controller.Report,
		Client:      client,
	}); err != nil {
		return nil, err
	}
	if d.validator, err = regionjwt.New(regionjwt.Config{
		Keys:     jwks.Config{HTTPClient: client},
		Policies: []verifier.Policy{{Provider: d.authority, Audience: verifier.Audience(issuertest.Audience)}},
		Failover: []*failover.Controller{d.controller},
	}); err != nil {
		return nil, err
	}
	if d.auth, err = httpauth.New(httpauth.Config{Verifier: d.validator, Metadata: &httpauth.Metadata{
		Resource: "https://api.example.com", AuthorizationServers: d.controller.AuthorizationServers,
	}}); err != nil {
		return nil, err
	}
	d.page, err = statuspage.New(statuspage.Config{
		Title: "Failover drill", Keys: d.validator.Keys(), Controllers: []statuspage.Controller{d.controller}, Events: &d.events,
		Reload: 2 * time.Second,
	})
	return d, err
}

func (d *drill) close() {
	_ = d.machine.Close()
	d.world.Close()
}

// told prints what the controller does.
func (d *drill) told(e failover.Event) {
	d.events.Failover(e)
	switch e.Kind {
	case failover.Moved:
		_, _ = fmt.Fprintf(d.out, "  * moved from %s to %s: %s\n", e.From, e.Region, e.Cause)
	case failover.Pinned, failover.Resumed:
		_, _ = fmt.Fprintf(d.out, "  * %s: %s\n", e.Kind, e.Region)
	case failover.HealthChanged:
		for _, r := range e.State.Regions {
			if r.Name == e.Region {
				_, _ = fmt.Fprintf(d.out, "  * %s is %s\n", r.Name, r.Health)
			}
		}
	case failover.StoreChanged:
	}
}
