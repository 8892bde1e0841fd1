// Package config reads the configuration file of the services, for commands that look at what it describes.
package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/configfile"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// Flags name a file.
type Flags struct{ File string }

// Define defines the flag.
func (f *Flags) Define(c *cli.Call) {
	c.File(&f.File, "config",
		"`file` of the services' configuration, in JSON or YAML, instead of flags that describe the provider")
}

// Given reports whether there is a file.
func (f *Flags) Given() bool { return f.File != "" }

// Config is a file that was read.
type Config struct {
	regionjwt.Config

	Warnings []string // what a service logs about it

	file  string
	close func()
}

// Open reads the file, and reports every problem with it.
func (f *Flags) Open(*cli.Call) (*Config, error) {
	said := &warnings{}
	edit := func(c *regionjwt.Config) error {
		c.Logger = slog.New(said)
		return nil
	}
	file, closeStores, err := f.open(configfile.Options{Edit: edit}, map[string]opener{"": unknown})
	if err != nil {
		return nil, err
	}
	c := &Config{Config: file.Config(), Warnings: said.all, file: f.File, close: closeStores}
	c.Logger = nil
	return c, nil
}

// warnings collects the warnings of a log, each as one line.
type warnings struct{ all []string }

// Enabled implements slog.Handler.
func (*warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// Handle implements slog.Handler.
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += ", " + a.Key + ": " + a.Value.String()
		return true
	})
	w.all = append(w.all, text)
	return nil
}

// WithAttrs implements slog.Handler.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements slog.Handler.
func (w *warnings) WithGroup(string) slog.Handler { return w }

// OpenFile reads the file as a service does, with what edit sets, and reports every problem with it. What it returns beside the
// file closes the connections to stores.
func (f *Flags) OpenFile(edit func(*regionjwt.Config) error) (*configfile.File, func(), error) {
	return f.open(configfile.Options{Edit: edit}, map[string]opener{})
}

type opener = func(configfile.Location) (store.Store, error)

func (f *Flags) open(o configfile.Options, openers map[string]opener) (*configfile.File, func(), error) {
	var all []func()
	closeStores := func() {
		for _, one := range all {
			one()
		}
	}
	for _, scheme := range []string{"redis", "rediss", "unix"} {
		openers[scheme] = func(l configfile.Location) (store.Store, error) {
			s, closeIt, err := storage.Redis(l.URL, l.Prefix, l.Password)
			if err == nil {
				all = append(all, closeIt)
			}
			return s, err
		}
	}
	o.Stores = openers
	if isYAML(f.File) {
		o.Convert = toJSON
	}
	file, err := configfile.Open(f.File, o)
	if err != nil {
		closeStores()
		return nil, nil, cli.Fail(cli.ExitUsage, "--config: %w", err)
	}
	return file, closeStores, nil
}

func isYAML(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	return ext == ".yaml" || ext == ".yml"
}

// JSON makes JSON of a document if the name of its file says that it is YAML.
func JSON(path string, doc []byte) ([]byte, error) {
	if isYAML(path) {
		return toJSON(doc)
	}
	return doc, nil
}

// Close closes connections.
func (c *Config) Close() { c.close() }

// Policy returns the policy for a provider.
func (c *Config) Policy(id string) (verifier.Policy, error) {
	ids := make([]string, 0, len(c.Policies))
	for _, p := range c.Policies {
		if p.Provider.ID == id {
			return p, nil
		}
		ids = append(ids, p.Provider.ID)
	}
	return verifier.Policy{}, cli.Fail(cli.ExitUsage,
		"%s has no provider of that ID; --provider is one of: %s", c.file, strings.Join(ids, ", "))
}

// Client returns the client for the keys of a policy: that of the file, if it names a CA or a cluster, or else other.
func (c *Config) Client(p verifier.Policy, other *http.Client, plainHosts []string) *http.Client {
	own := p.Provider.HTTPClient
	if own == nil {
		own = c.Keys.HTTPClient
	}
	if own == nil {
		return other
	}
	return outbound.Careful(outbound.Client(own, nil), plainHosts)
}

// Stores returns the stores in which a document is shared, or nil if there are none. Nothing is written to them.
func (c *Config) Stores(r store.ReplicaConfig) *storage.Opened {
	if len(r.Stores) == 0 {
		return nil
	}
	o := &storage.Opened{Trust: "plain", Where: c.file}
	for i, s := range r.Stores {
		switch info := trust.Of(s); {
		case info.Signs:
			o.Trust = "signed"
		case len(info.Keys) > 0:
			o.Trust = "encrypted"
		}
		o.Places = append(o.Places, storage.NewPlace(storage.ReadOnly(s), "store "+strconv.Itoa(i+1)+" of "+c.file))
	}
	return o
}

// Rules returns the stores of the rules, or nil if there are none.
func (c *Config) Rules() *storage.Opened {
	if c.Revocation == nil {
		return nil
	}
	return c.Stores(c.Revocation.Replica)
}

// unknown stands for a store that the services can open, and this tool cannot.
func unknown(l configfile.Location) (store.Store, error) {
	scheme, _, _ := strings.Cut(l.URL, ":")
	return unopened{fmt.Errorf("this tool cannot ask a store of the kind %q", scheme)}, nil
}

type unopened struct{ err error }

// Load implements store.Store.
func (u unopened) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", u.err
}

// Save implements store.Store.
func (u unopened) Save(context.Context, string, []byte, string) (string, error) { return "", u.err }

// Watch implements store.Store.
func (u unopened) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return errors.Join(u.err, ctx.Err())
}

// Issuers lists every iss of the policies.
func (c *Config) Issuers() (all []string) {
	for _, p := range c.Policies {
		for _, r := range p.Provider.Regions {
			all = append(all, r.Issuers...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// PolicyOf returns the policy for the tokens of an iss, or the first one.
func (c *Config) PolicyOf(iss string) *verifier.Policy {
	for i := range c.Policies {
		for _, r := range c.Policies[i].Provider.Regions {
			if slices.Contains(r.Issuers, iss) {
				return &c.Policies[i]
			}
		}
	}
	return &c.Policies[0]
}
