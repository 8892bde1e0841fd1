package sharedsignals

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/secevent"
)

const (
	verifyInterval = 5 * time.Minute
	maxSilence     = 3 * verifyInterval
	requestTime    = 10 * time.Second
	maxRetry       = 5 * time.Minute // of a Retry-After
	maxErrorBody   = 4 << 10
)

// streamStates are those of SSF section 8.1.2.
var streamStates = []string{"enabled", "paused", "disabled"}

// noteVerification notes a verification event. When it was issued counts, so that an old one that comes again proves nothing. Its
// state may be one that another receiver has asked for.
func (r *Receiver) noteVerification(t *transmitter, token *secevent.Token) string {
	at, now := token.IssuedAt, r.now()
	if at.After(now) {
		at = now
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.After(t.verified) {
		t.verified = at
	}
	t.silent = t.silent && now.Sub(t.verified) >= maxSilence
	return outcomeVerified
}

// noteStream notes the state of a stream, unless a later token has told another one.
func (r *Receiver) noteStream(t *transmitter, token *secevent.Token, f *finding) string {
	state := member(f.event, "status").Text()
	if !slices.Contains(streamStates, state) {
		return outcomeNoRule
	}
	at := token.IssuedAt
	if now := r.now(); at.After(now) { // it must not hide the later ones
		at = now
	}
	t.mu.Lock()
	later := !at.Before(t.streamAt)
	if later {
		t.stream, t.streamAt = state, at
	}
	t.mu.Unlock()
	if later && state != "enabled" {
		r.log.Error("the stream of a transmitter is not enabled: no security events come", "transmitter", t.id, "stream", state)
	}
	return outcomeNoted
}

// verifyStream asks for verification events until ctx ends, and watches whether they come.
func (r *Receiver) verifyStream(ctx context.Context, t *transmitter) {
	client := outbound.Client(t.Provider.HTTPClient, outbound.Transport(requestTime, time.Minute))
	began := r.now()
	for ctx.Err() == nil {
		wait := verifyInterval - verifyInterval/10 + mathrand.N(verifyInterval/5) //nolint:gosec // it only spreads requests
		state := rand.Text()
		within, cancel := context.WithTimeout(ctx, requestTime)
		status, _, retry, failure := post(within, client, t.VerificationURL,
			map[string]string{"stream_id": t.StreamID, "state": state}, maxErrorBody)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if failure == "" && status/100 != 2 {
			failure = label.Status(status)
		}
		r.noteFailure(t, "verification request", failure)
		r.noteSilence(t, began)
		pause(ctx, max(wait, retry))
	}
}

// noteSilence finds out whether verification events come.
func (r *Receiver) noteSilence(t *transmitter, began time.Time) {
	t.mu.Lock()
	last := t.verified
	if began.After(last) {
		last = began
	}
	silent := r.now().Sub(last) >= maxSilence
	changed := silent != t.silent
	t.silent = silent
	t.mu.Unlock()
	if changed && silent {
		r.log.Error("no verification event has come: security events may be lost", "transmitter", t.id)
		r.tell(t, kindVerification, outcomeSilent, "")
	}
}

// noteFailure logs when requests of one kind to a transmitter begin to fail, and when they succeed again.
func (r *Receiver) noteFailure(t *transmitter, what, failure string) {
	t.mu.Lock()
	changed := t.failing[what] != (failure != "")
	t.failing[what] = failure != ""
	t.mu.Unlock()
	switch {
	case changed && failure != "":
		r.log.Error("a request to a transmitter failed", "transmitter", t.id, "request", what, "failure", failure)
	case changed:
		r.log.Info("requests to a transmitter succeed again", "transmitter", t.id, "request", what)
	}
}

// post sends JSON. It returns the label of a failure, never text of the server.
func post(
	ctx context.Context, client *http.Client, url string, request any, most int,
) (status int, body []byte, retry time.Duration, failure string) {
	text, err := json.Marshal(request)
	if err != nil {
		return 0, nil, 0, label.Malformed
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return 0, nil, 0, label.Malformed
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Language", errorLang)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", outbound.UserAgent)
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, 0, outbound.Classify(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	retry = outbound.RetryAfter(resp.Header, time.Now(), maxRetry)
	if body, err = outbound.Body(resp.Body, most); err != nil {
		return resp.StatusCode, nil, retry, outbound.Classify(ctx, err)
	}
	return resp.StatusCode, body, retry, ""
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
