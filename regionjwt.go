package regionjwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Validator. Policies are required; the zero value of every other field is the default of the package
// that it is handed to.
type Config struct {
	Policies []verifier.Policy // what is demanded of the tokens of each authority

	Keys   jwks.Config  // how keys are fetched and kept; a nil Logger means Logger
	Logger *slog.Logger // one line for each change of state; nil is silent

	Revocation verifier.Revocation // break-glass rules; nil means none
	Leeway     time.Duration       // between clocks; 0 means 30 seconds, negative none
	CacheSize  int                 // verified tokens that are remembered; 0 means 8,192, negative none
	Now        func() time.Time    // the time by which tokens are judged; nil means time.Now

	Hooks verifier.Hooks // are told of decisions on tokens

	// Failover lists controllers of providers in Policies. Fetches of keys are reported to them as evidence of the source "keys":
	// see jwks.Fetched.Evidence. It does not make them policies: see verifier.Policy.Regions. The caller runs them.
	Failover []*failover.Controller
}

// Validator is a jwks.Cache and a verifier.Verifier, wired. It is safe for concurrent use.
type Validator struct {
	keys     *jwks.Cache
	verifier *verifier.Verifier

	updating sync.Mutex
}

// New returns a Validator, or what is wrong with c as one joined error; of an authority that is wrong in itself, its keys are not
// looked at. It does no I/O and starts no
// goroutine: keys are fetched when a token first needs them, or by Run.
func New(c Config) (*Validator, error) {
	// An authority that is wrong in itself is reported by the verifier; the cache need not repeat it.
	authorities := make([]issuer.Provider, 0, len(c.Policies))
	for _, t := range c.Policies {
		if t.Provider.Validate() == nil {
			authorities = append(authorities, t.Provider)
		}
	}
	kc := c.Keys
	if kc.Logger == nil {
		kc.Logger = c.Logger
	}
	kc.OnFetch = c.onFetch()
	keys, errKeys := jwks.New(authorities, kc)
	vc := verifier.Config{
		Policies: c.Policies, Keys: keys, Revocation: c.Revocation,
		Leeway: c.Leeway, CacheSize: c.CacheSize, Now: c.Now, Hooks: c.Hooks,
	}
	if errKeys != nil {
		vc.Keys = noKeys{} // for the sake of everything else that may be wrong
	}
	v, err := verifier.New(vc)
	if err := errors.Join(c.checkNils(), errKeys, err, c.checkFailover()); err != nil {
		return nil, err
	}
	return &Validator{keys: keys, verifier: v}, nil
}

// checkNils reports what is set and is nil, of that which the verifier does not look at.
func (c *Config) checkNils() error {
	var errs []error
	if nils.Logger(c.Logger) {
		errs = append(errs, errors.New("regionjwt: Logger has no handler: make it with slog.New"))
	}
	if client := c.Keys.HTTPClient; client != nil && nils.Typed(client.Transport) {
		errs = append(errs, errors.New("regionjwt: Keys.HTTPClient: Transport is a nil pointer in an interface"))
	}
	return errors.Join(errs...)
}

var errNotMade = errors.New("regionjwt: the Validator was not made by New")

// made reports whether New has made v.
func (v *Validator) made() bool { return v != nil && v.keys != nil }

// Update replaces what is trusted, and keeps everything else of the Config: rules, hooks and clocks. Key sets whose URLs stay
// keep their keys. Where trust is wrong it changes nothing, and returns everything that is wrong with it as one joined error.
func (v *Validator) Update(trust []verifier.Policy) error {
	if !v.made() {
		return errNotMade
	}
	v.updating.Lock()
	defer v.updating.Unlock()
	// A temporary Verifier reports every problem with trust before any key is dropped.
	if _, err := verifier.New(verifier.Config{Policies: trust, Keys: noKeys{}, CacheSize: -1}); err != nil {
		return err
	}
	authorities := make([]issuer.Provider, 0, len(trust))
	for _, t := range trust {
		authorities = append(authorities, t.Provider)
	}
	if err := v.keys.Update(authorities); err != nil { // first: what is trusted anew has keys to be asked for
		return err
	}
	return v.verifier.Update(trust)
}

// checkFailover reports controllers that would never learn anything.
func (c *Config) checkFailover() error {
	var errs []error
	for i, ctl := range c.Failover {
		id := ctl.State().Provider
		switch {
		case id == "":
			errs = append(errs, fmt.Errorf("regionjwt: Failover[%d] is nil or zero: make it with failover.New", i))
		case !slices.ContainsFunc(c.Policies, func(t verifier.Policy) bool { return t.Provider.ID == id }):
			errs = append(errs, fmt.Errorf("regionjwt: Failover[%d] is for authority %q, which is not in Policies", i, id))
		}
	}
	return errors.Join(errs...)
}

// onFetch returns the hook of the user, and reports to the controllers whether the regions answer.
func (c *Config) onFetch() func(jwks.Fetch) {
	told, controllers := c.Keys.OnFetch, slices.Clone(c.Failover)
	if len(controllers) == 0 {
		return told
	}
	return func(f jwks.Fetch) {
		for _, ctl := range controllers {
			if ctl.State().Provider != f.Provider {
				continue
			}
			e := failover.Evidence{Region: f.Region, Source: "keys", Began: time.Now().Add(-f.Duration)}
			switch {
			case f.Failure == "":
			case !f.Outage:
				continue
			default:
				e.Err, e.Class = errors.New(f.Failure), f.Failure // a label, never text of a server
			}
			ctl.Observe(e)
		}
		if told != nil {
			told(f)
		}
	}
}

// noKeys is a Source that knows nothing.
type noKeys struct{}

func (noKeys) Lookup(context.Context, jwks.Query) jwks.Result { return jwks.Result{} }

func (noKeys) Changed() <-chan struct{} { return nil }

// Verify checks a token; see verifier.Verifier.
func (v *Validator) Verify(ctx context.Context, raw string) (*verifier.Token, error) {
	return v.Verifier().Verify(ctx, raw)
}

// Recheck judges a verified token again; see verifier.Verifier.
func (v *Validator) Recheck(ctx context.Context, t *verifier.Token) error {
	return v.Verifier().Recheck(ctx, t)
}

// Changed returns a channel that is closed when tokens of open streams are due for a Recheck; see verifier.Verifier.
func (v *Validator) Changed() <-chan struct{} { return v.Verifier().Changed() }

// Run refreshes keys ahead of need until ctx ends; see jwks.Cache. Verification works without it, too.
func (v *Validator) Run(ctx context.Context) error { return v.Keys().Run(ctx) }

// Keys is the key cache: for its Status, Ready and Preload.
func (v *Validator) Keys() *jwks.Cache {
	if v == nil {
		return nil
	}
	return v.keys
}

// Verifier is the verifier, for its Status. Its Update does not tell the key cache of new authorities: use that of v.
func (v *Validator) Verifier() *verifier.Verifier {
	if v == nil {
		return nil
	}
	return v.verifier
}
