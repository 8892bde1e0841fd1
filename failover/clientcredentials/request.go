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

// request asks r for a token, which is as old as began.
func (s *TokenSource) request(ctx context.Context, r *region, began clock.Time) (*Token, *tokenError) {
	fail := func(failure string) *tokenError { return &tokenError{failure: failure, region: r.name} }
	cred, err := s.credentials(ctx, r)
	var req *http.Request
	if err == nil {
		if panicked := s.guarded("Credentials.Key", func() {
			req, err = cred.newRequest(ctx, r.url, s.form)
		}); panicked != nil {
			err = panicked
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, fail(ended(ctx))
		}
		e := fail(noCredentials)
		e.cause = err
		return nil, e
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, fail(classify(ctx, err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := outbound.Body(resp.Body, maxBody)
	if resp.StatusCode != http.StatusOK {
		return nil, s.rejection(r, resp, body)
	}
	if err != nil {
		return nil, fail(classify(ctx, err))
	}
	members, ok := parse(resp.Header, body)
	if !ok {
		return nil, fail(label.Malformed)
	}
	token := s.read(members)
	if token == nil {
		if strictjson.Find(members, "error").Kind() == strictjson.String {
			return nil, s.rejection(r, resp, body)
		}
		return nil, fail(label.Malformed)
	}
	token.from, token.got = r, began
	return token, nil
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
			err = cred.check()
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
	if !isToken(value) || !strings.EqualFold(strictjson.Find(members, "token_type").Text(), "Bearer") {
		return nil
	}
	t := &Token{value: value, life: defaultLifetime}
	if v := strictjson.Find(members, "expires_in"); v.Kind() != strictjson.Absent {
		seconds, err := strconv.ParseFloat(v.Raw(), 64)
		if v.Kind() != strictjson.Number || err != nil && !errors.Is(err, strconv.ErrRange) || seconds < 0.001 {
			return nil
		}
		t.life = time.Duration(min(seconds, maxLifetime.Seconds()) * float64(time.Second))
	}
	switch strictjson.Find(members, "scope").Kind() {
	case strictjson.Absent, strictjson.Null, strictjson.String:
	default:
		return nil
	}
	early := refreshAfter - earlySpread*rand.Float64() //nolint:gosec // it is no secret
	t.renew = time.Duration(early * float64(t.life))
	return t
}

// isToken reports whether s can be sent as a bearer token: RFC 6750, section 2.1.
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alphanumeric && strings.IndexByte("-._~+/", c) < 0 {
			return false
		}
	}
	return s != ""
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

// ended is why ctx has ended.
func ended(ctx context.Context) string { return outbound.Ended(ctx) }

// classify names what went wrong, without a word of the server.
func classify(ctx context.Context, err error) string { return outbound.Classify(ctx, err) }
