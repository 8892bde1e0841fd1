package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/luikyv/go-oidc/pkg/goidc"
	"github.com/luikyv/go-oidc/pkg/provider"
)

const (
	secret   = "secret" // of every client
	scope    = "orders/read"
	api      = "https://api.example.com"
	otherAPI = "https://other.example.com"

	clientUser    = "app"     // a user's tokens, by an assertion that is the user's name
	clientMachine = "machine" // by client credentials
	clientBrief   = "brief"   // the same, for briefLife

	briefLife = 20 * time.Second
)

// issuerConfig is what an issuer process is told first.
type issuerConfig struct {
	Issuer string // its iss, which is the address of the proxy before it
	Listen string
	Alg    string
	Keys   string // the file that keeps its keys when it is killed
	Life   int    // of tokens, in seconds
}

// issuerReady is its answer, and that to each command.
type issuerReady struct {
	Address string
	Kids    []string // published, the one in use first
}

type issuerCommand struct {
	Do string // "rotate": a new key is in use, the others stay published; "withdraw": the oldest one is not published any more
}

// ring holds the signing keys of an issuer, the one in use first.
type ring struct {
	file string
	alg  goidc.SignatureAlgorithm

	mu   sync.Mutex
	keys []goidc.JSONWebKey
}

// runIssuer is one region of an OpenID provider.
func runIssuer(ctx context.Context, in io.Reader, out io.Writer) error {
	var keys *ring
	var address string
	return serve(in, out, func(line []byte) (any, error) {
		if keys == nil {
			var c issuerConfig
			if err := decode(line, &c); err != nil {
				return nil, err
			}
			var err error
			if keys, err = openRing(c); err != nil {
				return nil, err
			}
			if address, err = listenIssuer(ctx, c, keys); err != nil {
				return nil, err
			}
			return issuerReady{address, keys.kids()}, nil
		}
		var c issuerCommand
		if err := decode(line, &c); err != nil {
			return nil, err
		}
		if err := keys.do(c.Do); err != nil {
			return nil, err
		}
		return issuerReady{address, keys.kids()}, nil
	})
}

func listenIssuer(ctx context.Context, c issuerConfig, keys *ring) (address string, err error) {
	op, err := newProvider(c, keys)
	if err != nil {
		return "", err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: op, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), nil
}

// newProvider returns a certified OpenID provider.
func newProvider(c issuerConfig, keys *ring) (http.Handler, error) {
	client := func(id string, grant goidc.GrantType) provider.Option {
		return provider.WithStaticClient(&goidc.Client{
			ID: id, Secret: secret,
			TokenAuthnMethod: goidc.AuthnMethodSecretBasic, GrantTypes: []goidc.GrantType{grant}, ScopeIDs: scope,
		})
	}
	op, err := provider.New(goidc.ProfileOpenID, c.Issuer, keys.set,
		provider.WithJWKSEndpoint(jwksPath),
		provider.WithTokenEndpoint(tokenPath),
		provider.WithTokenAuthnMethods(goidc.AuthnMethodSecretBasic),
		provider.WithScopes(goidc.NewScope(scope)),
		provider.WithClientCredentialsGrant(),
		provider.WithJWTBearerGrant(func(_ *http.Request, user string) (goidc.JWTBearerGrantInfo, error) {
			return goidc.JWTBearerGrantInfo{Subject: user}, nil
		}),
		provider.WithResourceIndicators(api, otherAPI),
		provider.WithIDTokenSignatureAlgs(keys.alg),
		provider.WithTokenOptions(func(_ context.Context, _ *goidc.Grant, client *goidc.Client) goidc.TokenOptions {
			if client.ID == clientBrief {
				return goidc.NewJWTTokenOptions(keys.alg, int(briefLife/time.Second))
			}
			return goidc.NewJWTTokenOptions(keys.alg, c.Life)
		}),
		client(clientUser, goidc.GrantJWTBearer),
		client(clientMachine, goidc.GrantClientCredentials),
		client(clientBrief, goidc.GrantClientCredentials),
	)
	if err != nil {
		return nil, err
	}
	return op.Handler(), nil
}

const (
	jwksPath  = "/.well-known/jwks.json"
	tokenPath = "/oauth2/token" //nolint:gosec // a path
)

// openRing reads the keys of a process that was killed, or makes the first one.
func openRing(c issuerConfig) (*ring, error) {
	r := &ring{file: c.Keys, alg: goidc.SignatureAlgorithm(c.Alg)}
	doc, err := os.ReadFile(c.Keys)
	if errors.Is(err, os.ErrNotExist) {
		return r, r.do("rotate")
	}
	if err != nil {
		return nil, err
	}
	var set goidc.JSONWebKeySet
	if err := decode(doc, &set); err != nil {
		return nil, err
	}
	r.keys = set.Keys
	return r, nil
}

// do changes the keys. They are in the file before anybody sees them.
func (r *ring) do(what string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	keys := r.keys
	switch what {
	case "rotate":
		key, err := newKey(r.alg)
		if err != nil {
			return err
		}
		keys = slices.Insert(slices.Clone(keys), 0, key)
	case "withdraw":
		keys = keys[:max(1, len(keys)-1)]
	default:
		return fmt.Errorf("there is no command %q", what)
	}
	doc, err := json.Marshal(goidc.JSONWebKeySet{Keys: keys})
	if err != nil {
		return err
	}
	temporary := r.file + ".new"
	if err := os.WriteFile(temporary, doc, 0o600); err != nil {
		return err
	}
	if err := os.Rename(temporary, r.file); err != nil {
		return err
	}
	r.keys = keys
	return nil
}

func newKey(alg goidc.SignatureAlgorithm) (k goidc.JSONWebKey, err error) {
	var private any
	if alg == goidc.ES256 {
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id) // never fails
	kid := base64.StdEncoding.EncodeToString(id)
	return goidc.JSONWebKey{Key: private, KeyID: kid, Algorithm: string(alg), Use: "sig"}, err
}

func (r *ring) set(context.Context) (goidc.JSONWebKeySet, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return goidc.JSONWebKeySet{Keys: r.keys}, nil
}

func (r *ring) kids() (kids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys {
		kids = append(kids, k.KeyID)
	}
	return kids
}
