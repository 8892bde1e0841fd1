// Package signalstest helps to test services that receive security events: a [Transmitter] signs events with the keys of an
// issuertest.Server, pushes them to a handler, and answers polls.
//
// Faults of a transmitter are made of its parts. A late event has Event.Ago. Push a token twice, in another order, or from
// another test. Event.Forged signs with a key that nobody publishes. [Transmitter.Silence] makes it answer nothing. Leave out
// Event.Subject, or give one that cannot be mapped.
package signalstest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

// The URLs of a Transmitter, which the HTTPClient of Transmitter.Provider reaches in memory.
const (
	PollURL         = "https://transmitter.example.com/poll"
	VerificationURL = "https://transmitter.example.com/verify"
)

// Event describes a security event token. The zero Event is a session-revoked of CAEP that happened now, without a subject.
type Event struct {
	// Type is the URI of the event, or its last two parts: "caep/session-revoked", "risc/account-disabled". "" means
	// "caep/session-revoked".
	Type string
	// Subject is the sub_id: {"format": "iss_sub", "iss": ..., "sub": ...}.
	Subject map[string]any
	// Members are those of the event.
	Members map[string]any
	// Ago is how long ago the event happened and the token was issued.
	Ago time.Duration
	// Set adds or replaces claims; a nil value removes one.
	Set map[string]any
	// Forged signs with a key that is not published, under the kid of one that is.
	Forged bool
}

// Transmitter sends security events. It is safe for concurrent use.
type Transmitter struct {
	server   *issuertest.Server
	region   string
	audience string

	mu     sync.Mutex
	silent bool
	queue  []waiting
	acked  []string
}

type waiting struct{ id, set string }

// New returns a Transmitter that signs with the key of a region of s. audience is the aud of its tokens.
func New(s *issuertest.Server, region, audience string) *Transmitter {
	return &Transmitter{server: s, region: region, audience: audience}
}

// Provider returns the Provider for sharedsignals.Transmitter. Its HTTPClient reaches the keys of the Server, PollURL and
// VerificationURL in memory.
func (t *Transmitter) Provider() issuer.Provider {
	p := t.server.Provider()
	others := http.DefaultTransport
	if p.HTTPClient != nil && p.HTTPClient.Transport != nil {
		others = p.HTTPClient.Transport
	}
	p.HTTPClient = &http.Client{Transport: &transport{t, others}}
	return p
}

// Issue returns a token.
func (t *Transmitter) Issue(e Event) string {
	uri := e.Type
	if uri == "" {
		uri = "caep/session-revoked"
	}
	if group, name, short := strings.Cut(uri, "/"); short && !strings.Contains(uri, ":") {
		uri = "https://schemas.openid.net/secevent/" + group + "/event-type/" + name
	}
	members := maps.Clone(e.Members)
	if members == nil {
		members = map[string]any{}
	}
	claims := map[string]any{
		"aud": t.audience, "iat": time.Now().Add(-e.Ago).Unix(), "events": map[string]any{uri: members},
	}
	if e.Subject != nil {
		claims["sub_id"] = e.Subject
	}
	for _, name := range []string{"exp", "sub", "client_id", "scope", "token_use", "auth_time", "username"} {
		claims[name] = nil
	}
	maps.Copy(claims, e.Set)
	return t.server.Issue(t.region, issuertest.Claims{
		Set: claims, Header: map[string]any{"typ": "secevent+jwt"}, Forged: e.Forged,
	})
}

// Push pushes tokens to a receiver, one after the other, and returns the status of each answer. Header is added to the requests.
func (t *Transmitter) Push(receiver http.Handler, header http.Header, sets ...string) (statuses []int) {
	for _, set := range sets {
		req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/", strings.NewReader(set))
		maps.Copy(req.Header, header)
		req.Header.Set("Content-Type", "application/secevent+jwt")
		req.Header.Set("Accept", "application/json")
		w := httptest.NewRecorder()
		receiver.ServeHTTP(w, req)
		statuses = append(statuses, w.Code)
	}
	return statuses
}

// Queue adds tokens to those that polls return until they are acknowledged, under their jti. The same token may be added again.
func (t *Transmitter) Queue(id string, set string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue = append(t.queue, waiting{id, set})
}

// Acknowledged returns the jti of each token that was acknowledged, or reported as bad with a "!" before it.
func (t *Transmitter) Acknowledged() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.acked)
}

// Silence makes the Transmitter answer no poll, and send no verification event.
func (t *Transmitter) Silence(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silent = on
}

// transport answers requests to the URLs of a Transmitter.
type transport struct {
	t      *Transmitter
	others http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	url := req.URL.String()
	if url != PollURL && url != VerificationURL {
		return tr.others.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	if url == PollURL {
		tr.t.poll(w, body)
	} else {
		tr.t.verify(w, body)
	}
	return w.Result(), nil
}

// poll answers a poll (RFC 8936).
func (t *Transmitter) poll(w http.ResponseWriter, body []byte) {
	var asked struct {
		MaxEvents *int           `json:"maxEvents"`
		Ack       []string       `json:"ack"`
		SetErrs   map[string]any `json:"setErrs"`
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := json.Unmarshal(body, &asked); err != nil || t.silent {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	done := slices.Clone(asked.Ack)
	t.acked = append(t.acked, asked.Ack...)
	for _, id := range slices.Sorted(maps.Keys(asked.SetErrs)) {
		done = append(done, id)
		t.acked = append(t.acked, "!"+id)
	}
	t.queue = slices.DeleteFunc(t.queue, func(one waiting) bool { return slices.Contains(done, one.id) })
	sets := map[string]string{}
	for _, one := range t.queue {
		if asked.MaxEvents == nil || len(sets) < *asked.MaxEvents {
			sets[one.id] = one.set
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"sets": sets, "moreAvailable": len(sets) < len(t.queue)})
}

// verify queues a verification event (SSF section 8.1.4).
func (t *Transmitter) verify(w http.ResponseWriter, body []byte) {
	var asked struct {
		StreamID string `json:"stream_id"`
		State    string `json:"state"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	t.mu.Lock()
	silent := t.silent
	t.mu.Unlock()
	if !silent {
		t.Queue(asked.State, t.Issue(Event{
			Type: "ssf/verification", Subject: map[string]any{"format": "opaque", "id": asked.StreamID},
			Members: map[string]any{"state": asked.State}, Set: map[string]any{"jti": asked.State},
		}))
	}
	w.WriteHeader(http.StatusNoContent)
}
