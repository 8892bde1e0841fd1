package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
	"github.com/regionjwt/regionjwt/verifier"
)

// opener opens a verifier for a configuration, and says what of it is not supported.
type opener func(ctx context.Context, c *configuration) (peers.Subject, error)

// goAdapter serves a verifier of this process.
type goAdapter struct {
	open        opener
	unsupported []string
	outage      func(error) bool

	mu      sync.Mutex
	config  *configuration
	subject peers.Subject
}

// newGoAdapter makes an adapter for a library.
func newGoAdapter(l peers.Library) *goAdapter {
	a := &goAdapter{outage: l.Outage}
	a.open = func(ctx context.Context, c *configuration) (peers.Subject, error) {
		s := peers.Setup{
			Audience: first(c.Audience), Algorithms: c.Algorithms,
			Leeway: time.Duration(c.Leeway) * time.Second, Refresh: time.Duration(c.Refresh) * time.Second,
		}
		for _, i := range c.Issuers {
			s.Issuers = append(s.Issuers, peers.Endpoint{Iss: i.Issuer, JWKS: i.JWKSURI})
		}
		return l.Open(ctx, s)
	}
	if l.Name == "regionjwt" {
		a.open = openWhole
		a.outage = func(err error) bool {
			return errors.Is(err, verifier.ErrUnavailable) || errors.Is(err, verifier.ErrRateLimited)
		}
		return a
	}
	a.unsupported = []string{"types", "scopes", "revocation", "cognito", "Ed25519"}
	if !l.Several || l.Discovers {
		a.unsupported = append(a.unsupported, "issuers")
	}
	if l.NoLeeway {
		a.unsupported = append(a.unsupported, "leeway")
	}
	if l.AnyAlg {
		a.unsupported = append(a.unsupported, "algorithms")
	}
	if a.outage == nil {
		a.outage = onNetwork
	}
	return a
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// onNetwork reports whether the chain of an error has one of the network, which is how an application can tell where the library
// has no error of its own.
func onNetwork(err error) bool {
	var n net.Error
	var u *url.Error
	return errors.As(err, &n) || errors.As(err, &u) || errors.Is(err, context.DeadlineExceeded)
}

const (
	opening  = 5 * time.Second // for a library to be set up
	patience = 8 * time.Second // of a caller
)

// ServeHTTP answers POST /configure and POST /verify.
func (a *goAdapter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var reply answer
	switch r.URL.Path {
	case "/configure":
		c := &configuration{}
		if err := json.NewDecoder(r.Body).Decode(c); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a.configure(c)
		reply.Unsupported = a.unsupported
	case "/verify":
		var q struct{ Token string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		reply = a.verify(ctx, q.Token)
	default:
		http.NotFound(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// configure replaces the verifier. One that cannot be opened, as its keys cannot be fetched, is opened again for each token, as a
// service that is started again.
func (a *goAdapter) configure(c *configuration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subject != nil {
		a.subject.Close()
	}
	a.config, a.subject = c, nil
	ctx, cancel := context.WithTimeout(context.Background(), opening)
	defer cancel()
	a.subject, _ = a.open(ctx, c)
}

func (a *goAdapter) get(ctx context.Context) (peers.Subject, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.subject != nil {
		return a.subject, nil
	}
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	var err error
	a.subject, err = a.open(ctx, a.config)
	return a.subject, err
}

func (a *goAdapter) verify(ctx context.Context, token string) answer {
	subject, err := a.get(ctx)
	if err != nil {
		return answer{Result: "unavailable", Detail: err.Error()}
	}
	switch err = subject.Verify(ctx, token); {
	case err == nil:
		return answer{Result: "accept"}
	case a.outage(err):
		return answer{Result: "unavailable", Detail: err.Error()}
	}
	return answer{Result: "invalid", Detail: err.Error()}
}

// serveLibrary serves a library of this module on the port that the environment names, until the process ends.
func serveLibrary(ctx context.Context, name string) error {
	i := slices.IndexFunc(peers.All(), func(l peers.Library) bool { return l.Name == name })
	if i < 0 {
		return fmt.Errorf("%w %s", errNoAdapter, name)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	s := &http.Server{Handler: newGoAdapter(peers.All()[i]), ReadHeaderTimeout: 10 * time.Second}
	return s.Serve(l)
}

// versions returns modules with their versions.
func versions(modules []string) []string {
	known := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			known[m.Path] = m.Version
			if m.Replace != nil {
				known[m.Path] = "of this repository"
			}
		}
	}
	all := make([]string, 0, len(modules))
	for _, m := range modules {
		all = append(all, strings.TrimSpace(strings.TrimPrefix(m, "github.com/")+" "+known[m]))
	}
	return all
}

var errInstall = errors.New("is not installed")

// nodeVersions returns packages with their versions.
func nodeVersions(dir string, packages []string) (string, error) {
	var all []string
	for _, name := range packages {
		text, err := os.ReadFile(filepath.Join(dir, "node_modules", name, "package.json")) //nolint:gosec // a file of the adapter
		if err != nil {
			return name, fmt.Errorf("%s %w: run npm ci in %s", name, errInstall, dir)
		}
		var p struct{ Version string }
		if err := json.Unmarshal(text, &p); err != nil {
			return name, err
		}
		all = append(all, name+" "+p.Version)
	}
	return strings.Join(all, ", "), nil
}

func pythonVersion(module, show string) (string, error) {
	out, err := exec.Command(pythonProgram, "-c", //nolint:noctx,gosec // it ends at once; a word of the table
		"import importlib.metadata as m, "+module+"; print(m.version('"+show+"'))").Output()
	if err != nil {
		return show, fmt.Errorf("%s %w: apt-get install python3-jwt python3-authlib python3-jwcrypto", show, errInstall)
	}
	return show + " " + strings.TrimSpace(string(out)), nil
}
