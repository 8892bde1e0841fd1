package sharedsignals_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// memory is a store that can be down.
type memory struct {
	mu   sync.Mutex
	down bool
	docs map[string][]byte
	n    int
	revs map[string]string
}

var errDown = errors.New("the store is down")

func (m *memory) Load(_ context.Context, name, _ string) ([]byte, string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.docs[name]
	switch {
	case m.down:
		return nil, "", errDown
	case !ok:
		return nil, "", store.ErrNotFound
	}
	return bytes.Clone(data), m.revs[name], nil
}

func (m *memory) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.down:
		return "", errDown
	case m.revs[name] != ifRevision:
		return "", store.ErrConflict
	}
	if m.docs == nil {
		m.docs, m.revs = map[string][]byte{}, map[string]string{}
	}
	m.n++
	m.docs[name], m.revs[name] = bytes.Clone(data), fmt.Sprint(m.n)
	return m.revs[name], nil
}

func (*memory) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return ctx.Err()
}

func (m *memory) setDown(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

const document = "regionjwt/signals"

// world is a provider, its transmitter, a receiver and a service.
type world struct {
	t        *testing.T
	stop     func() // ends everything that runs
	memory   *memory
	server   *issuertest.Server
	sender   *signalstest.Transmitter
	receiver *sharedsignals.Receiver
	config   sharedsignals.Config
	operator *revocation.List // of an operator, who writes
	service  *verifier.Verifier
	rules    *revocation.List // of the service

	mu     sync.Mutex
	events []string
}

// provider is one of two regions.
func provider(id, iss string) issuer.Provider {
	return issuer.Provider{ID: id, Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{iss}, JWKSURLs: []string{"https://eu." + id + ".example.com/keys"}},
		{Name: "us", Issuers: []string{iss}, JWKSURLs: []string{"https://us." + id + ".example.com/keys"}},
	}}
}

// newWorld makes a world in a synctest bubble. change changes the configuration of the receiver.
func newWorld(t *testing.T, change func(*sharedsignals.Config)) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{t: t, memory: &memory{}}
	w.server = issuertest.New(t, provider("shop", realm), issuertest.Config{Algorithm: "ES256", Audience: "api"})
	w.sender = signalstest.New(w.server, "eu", "services")
	opPublic, opPrivate, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	rcPublic, rcPrivate, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	operator := store.PublicKey{Key: opPublic}
	receiver := store.PublicKey{Key: rcPublic, Documents: []string{document}}
	shared := func(private ed25519.PrivateKey) store.ReplicaConfig {
		return store.ReplicaConfig{Stores: []store.Trusted{store.Signed(w.memory, "test", private, operator, receiver)}}
	}
	w.config = sharedsignals.Config{
		Replica: shared(rcPrivate),
		Transmitters: []sharedsignals.Transmitter{{
			Provider: w.sender.Provider(), Audience: []string{"services"}, Issuers: map[string]string{realm: "shop"},
		}},
		OnEvent: func(transmitter, kind, outcome, ruleID string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			require.Equal(t, outcome == "applied" || outcome == "repeated", ruleID != "", outcome)
			w.events = append(w.events, strings.TrimPrefix(kind+" "+outcome, " "))
		},
	}
	if change != nil {
		change(&w.config)
	}
	w.receiver, err = sharedsignals.New(w.config)
	require.NoError(t, err)
	list := func(private ed25519.PrivateKey) *revocation.List {
		l, err := revocation.New(revocation.Config{Replica: shared(private), Signals: []revocation.Signals{{
			Replica: shared(nil), Providers: []string{"shop"},
		}}})
		require.NoError(t, err)
		return l
	}
	w.operator, w.rules = list(opPrivate), list(nil)
	keys := w.server.Provider()
	cache := newCache(t, keys)
	w.service, err = verifier.New([]verifier.Policy{w.server.Policy()}, cache, verifier.Config{Revocation: w.rules})
	require.NoError(t, err)
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{w.receiver.Run, w.operator.Run, w.rules.Run} {
		running.Go(func() { _ = run(ctx) })
	}
	w.stop = func() { cancel(); running.Wait() }
	t.Cleanup(w.stop)
	w.settle()
	return w
}

// settle lets a second pass: that is how long a rule takes at most.
func (w *world) settle() { time.Sleep(time.Second); synctest.Wait() }

// told returns the events since the last call.
func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := w.events
	w.events = nil
	return told
}

// token returns a token of a user, issued some time ago.
func (w *world) token(sub, sid string, ago time.Duration) string {
	set := map[string]any{"iat": time.Now().Add(-ago).Unix()}
	if sid != "" {
		set["sid"] = sid
	}
	return w.server.Issue("us", issuertest.Claims{Subject: sub, Set: set})
}

// rejected reports whether the service rejects a token because of a rule.
func (w *world) rejected(token string) bool {
	w.t.Helper()
	_, err := w.service.Verify(w.t.Context(), token)
	if err == nil {
		return false
	}
	var e *verifier.Error
	require.ErrorAs(w.t, err, &e)
	require.Equal(w.t, verifier.ReasonRevoked, e.Reason, err)
	return true
}

// push pushes tokens to the receiver.
func (w *world) push(sets ...string) []int {
	return w.sender.Push(w.receiver.Handler("shop"), nil, sets...)
}

// logout sends a logout token.
func (w *world) logout(token string) *httptest.ResponseRecorder {
	form := url.Values{"logout_token": {token}}.Encode()
	req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.receiver.Handler("shop").ServeHTTP(answer, req)
	return answer
}

func user(sub string) map[string]any {
	return map[string]any{"format": "iss_sub", "iss": realm, "sub": sub}
}

func inSession(sub, id string) map[string]any {
	return map[string]any{"format": "complex", "user": user(sub), "session": map[string]any{"format": "opaque", "id": id}}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, f)
}

// only reports whether all elements are one value, and there is at least one.
func only[T comparable](all []T, value T) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(one T) bool { return one != value })
}
