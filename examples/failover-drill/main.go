// Failover-drill tells the whole story of a lost region in one command, in memory, in less than five seconds: a controller
// watches the regions, machine tokens follow it, an operator pins a region and resumes, and a page shows how things stand.
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
		_, _ = fmt.Fprintf(out, "The page is at http://%s/?reload=2 until you interrupt.\n", listen)
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
	idp        *issuertest.Server
	provider   issuer.Provider
	controller *failover.Controller
	machine    *clientcredentials.TokenSource
	validator  *regionjwt.Validator
	auth       *httpauth.Middleware
	page       http.Handler
}

func newDrill(out io.Writer) (*drill, error) {
	described := issuer.Provider{ID: "shop"}
	for _, region := range []string{primary, secondary} {
		base := "https://" + region + ".idp.example"
		described.Regions = append(described.Regions, issuer.Region{
			Name: region, Issuers: []string{base}, JWKSURLs: []string{base + "/keys"}, TokenURL: base + "/token",
		})
	}
	d := &drill{out: out, idp: issuertest.New(nil, described, issuertest.Config{Algorithm: "ES256"})}
	d.provider = d.idp.Provider()
	var err error
	// The numbers are small so that the story is short; the defaults are made for production.
	if d.validator, err = regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{d.idp.Policy()},
		Failover: map[string]failover.Config{d.provider.ID: {
			Automatic: true, Threshold: 2, HoldDown: time.Second, ProbeInterval: 100 * time.Millisecond, OnChange: d.changed,
		}},
	}); err != nil {
		return nil, err
	}
	d.controller = d.validator.Failover(d.provider.ID)
	if d.machine, err = clientcredentials.New(d.provider, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "billing", Secret: "not a secret"}, Failover: d.controller,
	}); err != nil {
		return nil, err
	}
	if d.auth, err = httpauth.New(d.validator, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: "https://api.example.com", AuthorizationServers: d.controller.Issuers,
	}}); err != nil {
		return nil, err
	}
	d.page = statuspage.Handler(d.validator, "Failover drill")
	return d, nil
}

func (d *drill) close() { d.idp.Close() }

// changed prints what the controller does.
func (d *drill) changed(before, now failover.Status) {
	for i, r := range now.Regions {
		if r.Health != before.Regions[i].Health {
			_, _ = fmt.Fprintf(d.out, "  * %s is %s\n", r.Region, r.Health)
		}
	}
	switch {
	case now.Active != before.Active:
		_, _ = fmt.Fprintf(d.out, "  * moved from %s to %s: %s\n", before.Active, now.Active, now.Cause)
		for _, line := range now.Why {
			_, _ = fmt.Fprintf(d.out, "    %s\n", line)
		}
	case now.Pinned && !before.Pinned:
		_, _ = fmt.Fprintf(d.out, "  * pinned: %s\n", now.Active)
	}
	if before.Pinned && !now.Pinned {
		_, _ = fmt.Fprintf(d.out, "  * unpinned: %s\n", before.Active)
	}
}
