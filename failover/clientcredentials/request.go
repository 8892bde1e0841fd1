package clientcredentials

import (
	"context"
	"errors"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// form returns what every request has in its body: RFC 6749, section 4.4.2.
func (c *Config) form() url.Values {
	v := url.Values{"grant_type": {"client_credentials"}}
	for name, values := range c.Params {
		v[name] = append([]string(nil), values...)
	}
	if len(c.Scopes) > 0 {
		v.Set("scope", strings.Join(c.Scopes, " "))
	}
	return v
}

// request asks r for a token, which is as old as began. It asks again where the answer demands it: with a nonce, or with the
// other secret.
func (s *TokenSource) request(ctx context.Context, r *region, began clock.Time) (*Token, *tokenError) {
	cred, err := s.credentials(ctx, r)
	if err != nil {
		return nil, s.noCredentials(ctx, r, err)
	}
	if cred.PreviousSecret != "" && r.previous.Load() {
		cred.Secret, cred.PreviousSecret = cred.PreviousSecret, cred.Secret
	}
	token, failed := s.attempt(ctx, r, cred, began)
	if failed != nil && failed.code == "invalid_client" && cred.PreviousSecret != "" {
		cred.Secret = cred.PreviousSecret
		if other, err := s.attempt(ctx, r, cred, began); err == nil {
			r.previous.Store(!r.previous.Load())
			return other, nil
		}
	}
	return token, failed
}

// attempt asks r for a token with one secret, and once more if the answer is that a nonce is needed (RFC 9449, section 8).
func (s *TokenSource) attempt(ctx context.Context, r *region, cred Credentials, began clock.Time) (*Token, *tokenError) {
	token, failed, learned := s.send(ctx, r, cred, began)
	if failed != nil && failed.code == needsNonce && learned {
		token, failed, _ = s.send(ctx, r, cred, began)
	}
	return token, failed
}

// noCredentials is the error of a request that cannot be made.
func (s *TokenSource) noCredentials(ctx context.Context, r *region, err error) *tokenError {
	if ctx.Err() != nil {
		return &tokenError{failure: ended(ctx), region: r.name}
	}
	return &tokenError{failure: noCredentials, region: r.name, cause: err}
}

// newRequest returns a request for a token, with a proof if tokens are bound to a key.
func (s *TokenSource) newRequest(ctx context.Context, r *region, cred Credentials) (req *http.Request, err error) {
	if panicked := s.guarded("Credentials.Key", func() {
		req, err = cred.newRequest(ctx, r.url, s.form)
	}); panicked != nil {
		return nil, panicked
	}
	if err != nil || s.tools.prover == nil {
		return req, err
	}
	if panicked := s.guarded("DPoPKey", func() { err = s.tools.prover.prove(req, "") }); panicked != nil {
		return nil, panicked
	}
	return req, err
}

// send asks r for a token once. learned reports whether the answer has a nonce that the request did not have.
func (s *TokenSource) send(
	ctx context.Context, r *region, cred Credentials, began clock.Time,
) (token *Token, failed *tokenError, learned bool) {
	fail := func(failure string) *tokenError { return &tokenError{failure: failure, region: r.name} }
	req, err := s.newRequest(ctx, r, cred)
	if err != nil {
		return nil, s.noCredentials(ctx, r, err), false
	}
	resp, err := s.tools.client.Do(req)
	if err != nil {
		return nil, noAnswer(ctx, r, err), false
	}
	defer func() { _ = resp.Body.Close() }()
	if s.tools.prover != nil {
		learned = s.tools.prover.learn(req.URL, resp.Header)
	}
	body, err := outbound.Body(resp.Body, maxBody)
	if resp.StatusCode != http.StatusOK {
		return nil, s.rejection(r, resp, body), learned
	}
	if err != nil {
		return nil, fail(classify(ctx, err)), learned
	}
	members, ok := parse(resp.Header, body)
	if !ok {
		return nil, fail(label.Malformed), learned
	}
	token = s.read(members)
	if token == nil {
		if strictjson.Find(members, "error").Kind() == strictjson.String {
			return nil, s.rejection(r, resp, body), learned
		}
		return nil, fail(label.Malformed), learned
	}
	token.from, token.got = r, began
	return token, nil, learned
}

// credentials returns those of the first region of r that has any.
func (s *TokenSource) credentials(ctx context.Context, r *region) (cred Credentials, err error) {
	if s.config.CredentialsFunc == nil {
		return s.config.Credentials, nil
	}
	for _, name := range r.names {
		if panicked := s.guarded("CredentialsFunc", func() {
			cred, err = s.config.CredentialsFunc(ctx, name)
		}); panicked != nil {
			err = panicked
		}
		if err = guard.Sound("the error of CredentialsFunc", err); err == nil {
			err = cred.check(s.tools.certificate)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return cred, err
}

// parse reads an answer, which has to be one strict JSON object.
func parse(h http.Header, body []byte) ([]strictjson.Member, bool) {
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	if media != "application/json" && !strings.HasSuffix(media, "+json") {
		return nil, false
	}
	members, err := strictjson.Parse(nil, string(body))
	return members, err == nil
}

// read returns the token of an answer (RFC 6749, section 5.1); nil if it has none that can be used.
func (s *TokenSource) read(members []strictjson.Member) *Token {
	value := strictjson.Find(members, "access_token").Text()
	if !isToken(value) || !strings.EqualFold(strictjson.Find(members, "token_type").Text(), s.tokenType()) {
		return nil
	}
	life, ok := lifetime(strictjson.Find(members, "expires_in"))
	if !ok {
		return nil
	}
	t := &Token{value: value, life: life}
	switch strictjson.Find(members, "scope").Kind() {
	case strictjson.Absent, strictjson.Null, strictjson.String, strictjson.Array:
	default:
		return nil
	}
	early := refreshAfter - earlySpread*rand.Float64() //nolint:gosec // it is no secret
	t.renew = time.Duration(early * float64(t.life))
	return t
}

// lifetime reads expires_in. Some providers write null for none, and the first version of Microsoft Entra a text of digits.
func lifetime(v strictjson.Value) (time.Duration, bool) {
	text := v.Raw()
	switch v.Kind() {
	case strictjson.Absent, strictjson.Null:
		return defaultLifetime, true
	case strictjson.Number:
	case strictjson.String:
		if text = v.Text(); strings.Trim(text, "0123456789") != "" {
			return 0, false
		}
	default:
		return 0, false
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || seconds < 0.001 {
		return 0, false
	}
	return time.Duration(min(seconds, maxLifetime.Seconds()) * float64(time.Second)), true
}

// tokenType is the type of the tokens, and the scheme of an Authorization with one.
func (s *TokenSource) tokenType() string {
	if s.tools.prover != nil {
		return "DPoP"
	}
	return "Bearer"
}

// isToken reports whether s can be sent in a header: it has the characters of RFC 6749, section A.12, less the space. RFC 6750,
// section 2.1, allows fewer, but tokens of Salesforce have a "!".
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7F {
			return false
		}
	}
	return strings.Trim(s, "=") != ""
}

// rejection tells a rejection from an outage. An OAuth error is a rejection, and so is status 400 or 401, the status of errors in
// RFC 6749, section 5.2, whatever the body: another region must not be tried with a secret that is wrong.
func (s *TokenSource) rejection(r *region, resp *http.Response, body []byte) *tokenError {
	status := resp.StatusCode
	retry := outbound.RetryAfter(resp.Header, time.Unix(0, s.clock().Wall), maxRetry)
	outage := &tokenError{failure: label.HTTP, region: r.name, status: status, retryAfter: retry}
	client := status >= http.StatusBadRequest && status < http.StatusInternalServerError &&
		status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
	if !client && status != http.StatusOK {
		return outage
	}
	members, _ := parse(resp.Header, body)
	code := strictjson.Find(members, "error")
	must := status == http.StatusBadRequest || status == http.StatusUnauthorized
	if outages[code.Text()] || !must && code.Kind() != strictjson.String {
		return outage
	}
	e := &tokenError{failure: rejected, region: r.name, status: status, code: "other"}
	if codes[code.Text()] {
		e.code = code.Text()
	}
	return e
}

// noAnswer is the error of a request without an answer of HTTP, unless a RoundTripper has read it already.
func noAnswer(ctx context.Context, r *region, err error) *tokenError {
	var read *outbound.ServiceError
	switch {
	case !errors.As(err, &read):
		return &tokenError{failure: classify(ctx, err), region: r.name}
	case read.Code != "":
		return &tokenError{failure: rejected, region: r.name, status: read.Status, code: read.Code, cause: read.Err}
	case read.Label != "":
		return &tokenError{failure: read.Label, region: r.name, cause: read.Err}
	}
	return &tokenError{failure: label.HTTP, region: r.name, status: read.Status, cause: read.Err}
}

// ended is why ctx has ended.
func ended(ctx context.Context) string { return outbound.Ended(ctx) }

// classify names what went wrong, without a word of the server.
func classify(ctx context.Context, err error) string { return outbound.Classify(ctx, err) }
