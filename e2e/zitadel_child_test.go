package e2e_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// childAddress is the environment variable that makes this program a region of zitadel/oidc, and says where it listens.
const childAddress = "E2E_ZITADEL_ADDRESS"

// What the storage of zitadel/oidc knows: the password of the user id1, test-user@127.0.0.1, and the secret of the client sid1.
const (
	userPassword  = "verysecure"
	machineSecret = "verysecret"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(childAddress); address != "" {
		if err := zitadelRegion(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// zitadelKey is a signing key, or its public half.
type zitadelKey struct {
	id  string
	key any
}

func (k zitadelKey) ID() string                                  { return k.id }
func (k zitadelKey) Key() any                                    { return k.key }
func (k zitadelKey) Use() string                                 { return "sig" }
func (k zitadelKey) Algorithm() jose.SignatureAlgorithm          { return jose.ES256 }
func (k zitadelKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }

// zitadelStorage is the storage in memory that comes with zitadel/oidc, with keys that rotate and JWT access tokens.
type zitadelStorage struct {
	*storage.Storage

	mu   sync.Mutex
	keys []zitadelKey // private; the first one signs
}

func (s *zitadelStorage) rotate() (kid string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append([]zitadelKey{{uuid.NewString(), key}}, s.keys...)
	return s.keys[0].id, nil
}

func (s *zitadelStorage) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[0], nil
}

func (s *zitadelStorage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *zitadelStorage) KeySet(context.Context) (set []op.Key, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		set = append(set, zitadelKey{k.id, &k.key.(*ecdsa.PrivateKey).PublicKey})
	}
	return set, nil
}

func (s *zitadelStorage) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	return jwtClient{client}, err
}

func (s *zitadelStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	client, err := s.Storage.ClientCredentials(ctx, id, secret)
	return jwtClient{client}, err
}

// jwtClient is a client that gets JWT access tokens.
type jwtClient struct{ op.Client }

func (jwtClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

// login answers the redirect to the login page as if the user had typed name and password.
func (s *zitadelStorage) login(provider op.OpenIDProvider) http.HandlerFunc {
	callback := op.AuthCallbackURL(provider)
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.FormValue("authRequestID")
		if err := s.CheckUsernamePassword("test-user@127.0.0.1", userPassword, id); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx := op.ContextWithIssuer(r.Context(), provider.IssuerFromRequest(r))
		http.Redirect(w, r, callback(ctx, id), http.StatusFound)
	}
}

// zitadelRegion serves a provider until stdin ends, and answers the command "rotate" as idp/region.js does.
func zitadelRegion(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	iss := "http://" + listener.Addr().String()
	s := &zitadelStorage{Storage: storage.NewStorageWithClients(storage.NewUserStore(iss), map[string]*storage.Client{
		"web": storage.WebClient("web", secret, "http://127.0.0.1/callback"),
	})}
	kid, err := s.rotate()
	if err != nil {
		return err
	}
	provider, err := op.NewProvider(&op.Config{CodeMethodS256: true}, s, op.StaticIssuer(iss), op.WithAllowInsecure())
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", provider)
	mux.Handle("/login/", s.login(provider))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(listener) }()
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"event": "ready", "issuer": iss, "kid": kid}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if kid, err = s.rotate(); err != nil {
			return err
		}
		if err := out.Encode(map[string]string{"event": "rotated", "kid": kid}); err != nil {
			return err
		}
	}
	return nil
}
