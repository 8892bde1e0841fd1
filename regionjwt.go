package regionjwt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// Config configures a Validator. Trust is required; the zero value of every other field is the default of the package
// that it is handed to.
type Config struct {
	Trust []verifier.Trust // what is demanded of the tokens of each authority

	Client            *http.Client  // sends the requests for keys; see jwks.Config
	Logger            *slog.Logger  // one line for each change of state; nil is silent
	Refresh, MaxStale time.Duration // of keys; 0 means 15 minutes and 24 hours
	Store             store.Store   // keeps snapshots of keys for a start without network; nil means none

	Revoked   verifier.Revoker // break-glass rules; nil means none
	Leeway    time.Duration    // between clocks; 0 means 30 seconds, negative none
	CacheSize int              // verified tokens that are remembered; 0 means 8,192, negative none
	Now       func() time.Time // the time by which tokens are judged; nil means time.Now

	Hooks    verifier.Hooks // are told of decisions on tokens
	KeyHooks jwks.Hooks     // are told of fetches and of changes of keys

	// Failover lists controllers of authorities in Trust. Fetches of keys are reported to them as evidence of the source "keys":
	// see jwks.Fetched.Evidence. It does not make them policies: see verifier.Trust.Regions. The caller runs them.
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
	authorities := make([]issuer.Authority, 0, len(c.Trust))
	for _, t := range c.Trust {
		if t.Authority.Validate() == nil {
			authorities = append(authorities, t.Authority)
		}
	}
	keys, errKeys := jwks.New(jwks.Config{
		Authorities: authorities, Client: c.Client, Logger: c.Logger, Refresh: c.Refresh, MaxStale: c.MaxStale,
		Store: c.Store, Hooks: c.keyHooks(),
	})
	vc := verifier.Config{
		Trust: c.Trust, Revoked: c.Revoked, Leeway: c.Leeway, CacheSize: c.CacheSize, Now: c.Now, Keys: keys, Hooks: c.Hooks,
	}
	if errKeys != nil {
		vc.Keys = &jwks.Static{} // for the sake of everything else that may be wrong
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
	if nils.Typed(c.Store) {
		errs = append(errs, errors.New("regionjwt: Store is set, and nil"))
	}
	if nils.Logger(c.Logger) {
		errs = append(errs, errors.New("regionjwt: Logger has no handler: make it with slog.New"))
	}
	if c.Client != nil && nils.Typed(c.Client.Transport) {
		errs = append(errs, errors.New("regionjwt: Client has a Transport that is nil"))
	}
	return errors.Join(errs...)
}

var errNotMade = errors.New("regionjwt: the Validator was not made by New")

// made reports whether New has made v.
func (v *Validator) made() bool { return v != nil && v.keys != nil }

// Update replaces what is trusted, and keeps everything else of the Config: rules, hooks and clocks. Key sets whose URLs stay
// keep their keys. Where trust is wrong it changes nothing, and returns everything that is wrong with it as one joined error.
func (v *Validator) Update(trust []verifier.Trust) error {
	if !v.made() {
		return errNotMade
	}
	v.updating.Lock()
	defer v.updating.Unlock()
	// A temporary Verifier reports every problem with trust before any key is dropped.
	if _, err := verifier.New(verifier.Config{Trust: trust, Keys: &jwks.Static{}, CacheSize: -1}); err != nil {
		return err
	}
	authorities := make([]issuer.Authority, 0, len(trust))
	for _, t := range trust {
		authorities = append(authorities, t.Authority)
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
		id := ctl.State().Authority
		switch {
		case id == "":
			errs = append(errs, fmt.Errorf("regionjwt: Failover[%d] is nil or zero: make it with failover.New", i))
		case !slices.ContainsFunc(c.Trust, func(t verifier.Trust) bool { return t.Authority.ID == id }):
			errs = append(errs, fmt.Errorf("regionjwt: Failover[%d] is for authority %q, which is not in Trust", i, id))
		}
	}
	return errors.Join(errs...)
}

// keyHooks are those of the user, and what the controllers want to know.
func (c *Config) keyHooks() jwks.Hooks {
	h := c.KeyHooks
	if controllers := slices.Clone(c.Failover); len(controllers) > 0 {
		told := h.Fetched
		h.Fetched = func(f jwks.Fetched) {
			for _, ctl := range controllers {
				if region, ok := f.Evidence(ctl.State().Authority); ok {
					e := failover.Evidence{Region: region, Source: "keys", Began: f.Began}
					if f.Err != nil {
						e.Err, e.Class = f.Err, f.Err.Error() // a class and a status, never text of a server
					}
					ctl.Observe(e)
				}
			}
			if told != nil {
				told(f)
			}
		}
	}
	return h
}

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

// Keys is the key cache: for its Status, Warm and Close.
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
