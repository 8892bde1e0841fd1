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

	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// form is what every request has in its body: RFC 6749, section 4.4.2.
type form struct {
	values url.Values
	scopes []string
}

func (c *Config) form() form {
	v := url.Values{"grant_type": {"client_credentials"}}
	for name, values := range c.Params {
		v[name] = append([]string(nil), values...)
	}
	if len(c.Scopes) > 0 {
		v.Set("scope", strings.Join(c.Scopes, " "))
	}
	if len(c.Resources) > 0 {
		v["resource"] = c.Resources
	}
	if c.Audience != "" {
		v.Set("audience", c.Audience)
	}
	return form{values: v, scopes: c.Scopes}
}

// request asks r for a token, which is as old as began.
func (s *Source) request(ctx context.Context, r *region, began instant) (*Token, *Error) {
	fail := func(reason Reason) *Error { return &Error{Reason: reason, Region: r.name} }
	cred, err := s.credentials(ctx, r)
	var req *http.Request
	if err == nil {
		if panicked := s.guarded("Credentials.Key", func() {
			req, err = cred.newRequest(ctx, r.url, s.form.values)
		}); panicked != nil {
			err = panicked
		}
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, fail(ended(ctx))
		}
		e := fail(NoCredentials)
		e.Err = err
		return nil, e
	}
	resp, err := s.config.Client.Do(req)
	if err != nil {
		return nil, fail(classify(ctx, err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := outbound.Body(resp.Body, maxBody)
	if resp.StatusCode != http.StatusOK {
		return nil, s.refusal(r, resp, body)
	}
	if err != nil {
		return nil, fail(classify(ctx, err))
	}
	members, ok := parse(resp.Header, body)
	if !ok {
		return nil, fail(Malformed)
	}
	token := s.read(members)
	if token == nil {
		if strictjson.Find(members, "error").Kind() == strictjson.String {
			return nil, s.refusal(r, resp, body)
		}
		return nil, fail(Malformed)
	}
	token.from, token.got = r, began
	return token, nil
}

// credentials returns those of the first region at r that has any.
func (s *Source) credentials(ctx context.Context, r *region) (cred Credentials, err error) {
	if s.config.CredentialsFunc == nil {
		return s.config.Credentials[r.names[0]], nil
	}
	for _, name := range r.names {
		if panicked := s.guarded("CredentialsFunc", func() {
			cred, err = s.config.CredentialsFunc(ctx, name)
		}); panicked != nil {
			err = panicked
		}
		if err == nil {
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

// read returns the token of an answer (RFC 6749, section 5.1); nil where it has none that can be used.
func (s *Source) read(members []strictjson.Member) *Token {
	value := strictjson.Find(members, "access_token").Text()
	if !isToken(value) || !strings.EqualFold(strictjson.Find(members, "token_type").Text(), "Bearer") {
		return nil
	}
	t := &Token{value: value, scopes: s.form.scopes, life: s.config.Lifetime}
	if v := strictjson.Find(members, "expires_in"); v.Kind() != strictjson.Absent {
		seconds, err := strconv.ParseFloat(v.Raw(), 64)
		if v.Kind() != strictjson.Number || err != nil && !errors.Is(err, strconv.ErrRange) || seconds < 0.001 {
			return nil
		}
		t.life = time.Duration(min(seconds, maxLife.Seconds()) * float64(time.Second))
	}
	switch v := strictjson.Find(members, "scope"); v.Kind() {
	case strictjson.Absent, strictjson.Null:
	case strictjson.String:
		t.scopes = strings.Fields(v.Text())
	default:
		return nil
	}
	early := s.config.EarlyRefresh - earlySpread*rand.Float64() //nolint:gosec // it is no secret
	t.renew = time.Duration(early * float64(t.life))
	return t
}

// isToken reports whether s can be presented as a bearer token: RFC 6750, section 2.1.
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

// refusal tells a verdict from an outage. An OAuth error is a verdict, and so is status 400 or 401, with which RFC 6749, section
// 5.2, has errors sent, whatever the body: another region must not be tried with a secret that is wrong.
func (s *Source) refusal(r *region, resp *http.Response, body []byte) *Error {
	status := resp.StatusCode
	retry := outbound.RetryAfter(resp.Header, time.Unix(0, s.clock().wall), maxRetry)
	outage := &Error{Reason: Status, Region: r.name, Status: status, RetryAfter: retry}
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
	verdict := &Error{Reason: Refused, Region: r.name, Status: status, Code: "other"}
	if codes[code.Text()] {
		verdict.Code = code.Text()
	}
	return verdict
}

// ended is why ctx has ended: Close, or the time is up.
func ended(ctx context.Context) Reason { return reason(outbound.Ended(ctx)) }

// classify names what went wrong, without a word of the other side's.
func classify(ctx context.Context, err error) Reason { return reason(outbound.Classify(ctx, err)) }

// reason is what a fault is to a Source. Those of the connection have the names of the faults.
func reason(f outbound.Fault) Reason {
	switch f {
	case outbound.Canceled:
		return Closed
	case outbound.TooLarge:
		return Malformed
	default:
		return Reason(f)
	}
}
