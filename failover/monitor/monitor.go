// Package monitor lets health monitors outside of a service say whether a region is healthy: a CloudWatch or Route 53 alarm, a
// prober in a third region. A monitor signs each [Verdict] with a key of its own, and repeats it: a verdict counts for at most 2
// minutes. It goes into a store that the services poll ([Save]), or is posted to each instance. A [Receiver] hands it to the
// failover.Controller of the provider.
//
// A verdict that a region is unhealthy makes it unhealthy at once. When the verdict ends, the region is unknown, which moves
// nothing. A verdict that a region is healthy is a success, like those that other reporters report: it shortens no hold-down, and
// does not hide the failures of others. A holder of the key of a monitor can make an Automatic Controller leave a region for
// another one, and cannot do more: tokens of all regions verify as before, and a pin always wins.
//
// A verdict is rejected if it is for another fleet, if its Seq is not greater than that of the last one of this monitor about the
// region, or if Began is more than 60 seconds ago or more than 30 seconds ahead. A repetition of the last verdict is accepted and
// has no effect. A process that has just started remembers no Seq, so that a verdict can be replayed to it for up to 60 seconds.
package monitor

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/internal/health"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/store"
)

const (
	defaultPollInterval = 5 * time.Second
	leastPoll           = 100 * time.Millisecond
)

// Config configures a Receiver.
type Config struct {
	// Fleet is the name that all services and monitors use that belong together, such as "production". It is required.
	Fleet string
	// Keys are the public keys of the monitors, by the monitor's name: 1 to 28 characters of a to z, 0 to 9, hyphen and
	// underscore. A key is for one monitor, and for its verdicts alone.
	Keys map[string]ed25519.PublicKey
	// Stores are where Run looks for verdicts. They need not be trusted, because verdicts are signed. None means that verdicts
	// are posted only.
	Stores []store.Store
	// PollInterval is the time between two requests for the verdicts in a store. 0 means 5 seconds; the minimum is 100 ms.
	PollInterval time.Duration
	// Logger gets a line for each verdict from a store that is rejected, and when a store stops or starts to answer. Nil is
	// silent.
	Logger *slog.Logger
}

// Receiver accepts the verdicts of monitors. It is safe for concurrent use. Methods of a nil or zero Receiver return errors that
// name New.
type Receiver struct {
	config      Config
	controllers map[string]*failover.Controller // by provider

	mu   sync.Mutex // guards what follows
	last map[about]accepted
}

// about is who says something, and about what.
type about struct{ monitor, provider, region string }

// accepted is the last verdict that was accepted.
type accepted struct {
	seq    uint64
	digest [sha256.Size]byte
}

var errNotMade = errors.New("monitor: the Receiver is nil or zero: make it with monitor.New")

// New returns a Receiver that hands verdicts to the Controllers: those of regionjwt.Validator.Failover, or your own. The error is
// every problem with the arguments, joined.
func New(c Config, controllers ...*failover.Controller) (*Receiver, error) {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("monitor: "+format, args...))
		}
	}
	add(c.Fleet == "" || len(c.Fleet) > maxText, "Fleet has 1 to %d bytes", maxText)
	add(len(c.Keys) == 0, "Keys is empty: no verdict could be accepted")
	add(c.PollInterval < 0, "PollInterval is negative")
	add(c.PollInterval > 0 && c.PollInterval < leastPoll, "PollInterval is %v: use 0 for %v, or %v or more",
		c.PollInterval, defaultPollInterval, leastPoll)
	add(c.PollInterval > 0 && len(c.Stores) == 0, "PollInterval has no effect without Stores")
	add(nils.Logger(c.Logger), "Logger has no handler: make it with slog.New")
	owners := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		if err := checkName(name); err != nil {
			errs = append(errs, fmt.Errorf("%w: Keys[%q]", err, name))
		}
		add(len(c.Keys[name]) != ed25519.PublicKeySize, "Keys[%q] is not a key of Ed25519", name)
		other, shared := owners[string(c.Keys[name])]
		add(shared, "Keys[%q] is the key of %q, too", name, other)
		owners[string(c.Keys[name])] = name
	}
	for i, s := range c.Stores {
		add(nils.Is(s), "Stores[%d] is nil", i)
	}
	add(len(controllers) == 0, "there is no Controller")
	r := &Receiver{controllers: map[string]*failover.Controller{}, last: map[about]accepted{}}
	for i, ctl := range controllers {
		id := ctl.Status().Provider
		add(id == "", "Controller %d is nil or zero: make it with failover.New", i)
		add(id != "" && r.controllers[id] != nil, "two Controllers are of provider %q", id)
		r.controllers[id] = ctl
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c.Keys, c.Stores = maps.Clone(c.Keys), slices.Clone(c.Stores)
	c.PollInterval = cmp.Or(c.PollInterval, defaultPollInterval)
	c.Logger = guard.Logger(c.Logger)
	r.config = c
	return r, nil
}

func (r *Receiver) made() bool { return r != nil && r.controllers != nil }

// Accept checks a signed verdict and hands it to the Controller of its provider. A repetition of the last verdict has no effect
// and is no error.
func (r *Receiver) Accept(signed []byte) error {
	if !r.made() {
		return errNotMade
	}
	name, v, err := open(signed, r.config.Keys)
	if err != nil {
		return err
	}
	if v.Fleet != r.config.Fleet {
		return errors.New("monitor: the verdict is for another fleet")
	}
	ctl := r.controllers[v.Provider]
	if ctl == nil || !hasRegion(ctl, v.Region) {
		return errors.New("monitor: no Controller has this provider and region")
	}
	one := accepted{v.Seq, sha256.Sum256(signed)}
	if repeated, err := r.accept(about{name, v.Provider, v.Region}, one, v.Began); err != nil || repeated {
		return err
	}
	var failed error
	if v.Verdict == unhealthy {
		failed = health.Verdict{Lasts: time.Duration(v.TTL) * time.Millisecond}
	}
	ctl.Report(v.Region, "monitor "+name, v.Began, failed)
	return nil
}

// accept keeps a verdict as the last one, or says why it is not accepted, or that it is a repetition.
func (r *Receiver) accept(of about, one accepted, began time.Time) (repeated bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.last[of]
	now := time.Now()
	switch {
	case known && one == last:
		return true, nil
	case known && one.seq <= last.seq:
		return false, errors.New("monitor: the verdict is not newer than the last one: its seq is not greater")
	case began.Before(now.Add(-maxAge)):
		return false, errors.New("monitor: the verdict began more than 60 seconds ago")
	case began.After(now.Add(maxAhead)):
		return false, errors.New("monitor: the verdict begins more than 30 seconds from now: compare the clocks")
	}
	r.last[of] = one
	return false, nil
}

func hasRegion(ctl *failover.Controller, name string) bool {
	return slices.ContainsFunc(ctl.Status().Regions, func(r failover.RegionStatus) bool { return r.Region == name })
}

// ServeHTTP accepts a verdict that is posted: the body is what Sign returns. The answer is 204 if it is accepted, and otherwise
// 400 with one line that says why. A verdict proves itself, but checking it takes some 100 µs: serve it on an internal listener.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if req.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxSigned+1))
	if err == nil {
		err = r.Accept(body)
	} else {
		err = errors.New("monitor: the verdict could not be read, or is too long")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// Run polls the stores until ctx ends, and returns ctx's cause. Without Stores it only waits.
func (r *Receiver) Run(ctx context.Context) error {
	if !r.made() {
		return errNotMade
	}
	var polls sync.WaitGroup
	for _, s := range r.config.Stores {
		for name := range r.config.Keys {
			for id, ctl := range r.controllers {
				for _, region := range ctl.Status().Regions {
					polls.Go(func() { r.poll(ctx, s, documentName(name, id, region.Region)) })
				}
			}
		}
	}
	<-ctx.Done()
	polls.Wait()
	return context.Cause(ctx)
}
