package workload_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/workload"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

const (
	east, west = "us-east-1", "us-west-2"

	account      = "123456789012"
	organization = "o-a1b2c3d4e5"
	role         = "arn:aws:iam::" + account + ":role/orders/worker"
	issuerURL    = "https://3f9c2a10-0000-4000-8000-000000000001.tokens.sts.global.api.aws"
	audience     = "https://api.example.com"
	namespace    = "https://sts.amazonaws.com/"
)

var trust = workload.Trust{Issuer: issuerURL, Account: account}

// answer is how a Region answers: the zero answer is a token.
type answer struct {
	after  time.Duration // negative: never
	err    error
	status int
	code   string // of AWS
	body   string // in place of a document of AWS
}

var (
	silent    = answer{after: -1}
	reset     = answer{err: errors.New("read: connection reset by peer")} // after the request was sent: the answer is lost
	throttled = answer{status: 400, code: "Throttling"}
	down      = answer{status: 503, body: "<html>"}
	disabled  = answer{status: 403, code: "OutboundWebIdentityFederationDisabledException"}
)

// fake is AWS STS in two Regions, behind clients of the SDK. It knows one role session.
type fake struct {
	t    *testing.T
	idp  *issuertest.Server // signs the tokens; nil: they are not signed
	skew time.Duration      // how far the clock of AWS is ahead
	tags map[string]any     // of the principal

	mu       sync.Mutex
	session  time.Time // when the role session ends; zero: never
	answers  map[string]answer
	requests map[string][]url.Values
}

func newFake(t *testing.T) *fake {
	t.Helper()
	return &fake{t: t, answers: map[string]answer{}, requests: map[string][]url.Values{}}
}

func (f *fake) set(region string, a answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[region] = a
}

// end sets when the role session ends.
func (f *fake) end(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.session = at
}

// ends is when the role session ends.
func (f *fake) ends() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.session
}

// asked returns how many requests the Regions got since it was last called.
func (f *fake) asked() [2]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := [2]int{len(f.requests[east]), len(f.requests[west])}
	clear(f.requests)
	return n
}

// durations returns what the requests to a Region asked for, in seconds.
func (f *fake) durations(region string) (all []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, form := range f.requests[region] {
		all = append(all, form.Get("DurationSeconds"))
	}
	return all
}

// RoundTrip implements http.RoundTripper.
func (f *fake) RoundTrip(req *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(req.Body)
	form, err := url.ParseQuery(string(body))
	host, ok := strings.CutSuffix(req.URL.Host, ".amazonaws.com")
	region := strings.TrimPrefix(host, "sts.")
	if err != nil || !ok || req.Method != http.MethodPost || form.Get("Version") != "2011-06-15" ||
		form.Get("Action") != "GetWebIdentityToken" || !strings.Contains(req.Header.Get("Authorization"), "/"+region+"/sts/aws4_request") {
		return nil, fmt.Errorf("an odd request to %s: %s", req.URL, body)
	}
	f.mu.Lock()
	a := f.answers[region]
	f.requests[region] = append(f.requests[region], form)
	f.mu.Unlock()
	if a.after < 0 {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	select {
	case <-time.After(a.after):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if a.err != nil {
		return nil, a.err
	}
	if a.status == 0 && a.body == "" {
		a.status, a.code, a.body = f.issue(region, form, req)
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.body == "" {
		a.body = `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + a.code +
			`</Code><Message>s3cret</Message></Error><RequestId>x</RequestId></ErrorResponse>`
	}
	return &http.Response{
		StatusCode: a.status, ProtoMajor: 1, ProtoMinor: 1, Request: req, Body: io.NopCloser(strings.NewReader(a.body)),
		Header: http.Header{"Content-Type": {"text/xml"}, "Date": {f.now().UTC().Format(http.TimeFormat)}},
	}, nil
}

func (f *fake) now() time.Time { return time.Now().Add(f.skew) }

// issue answers as AWS documents it.
func (f *fake) issue(region string, form url.Values, req *http.Request) (status int, code, body string) {
	signed, err := time.Parse("20060102T150405Z", req.Header.Get("X-Amz-Date"))
	seconds, wrong := strconv.Atoi(form.Get("DurationSeconds"))
	duration := time.Duration(seconds) * time.Second
	alg, session := form.Get("SigningAlgorithm"), f.ends()
	switch {
	case err != nil || f.now().Sub(signed).Abs() > 5*time.Minute:
		return http.StatusForbidden, "SignatureDoesNotMatch", ""
	case !session.IsZero() && !time.Now().Before(session):
		return http.StatusForbidden, "ExpiredToken", ""
	case wrong != nil || seconds < 60 || seconds > 3600 || alg != "ES384" && alg != "RS256" || form.Get("Audience.member.1") == "":
		return http.StatusBadRequest, "ValidationError", ""
	case !session.IsZero() && time.Now().Add(duration).After(session):
		return http.StatusForbidden, "SessionDurationEscalationException", ""
	}
	token := fmt.Sprintf("%s.%d.%s", region, time.Now().UnixNano(), form.Get("DurationSeconds"))
	if f.idp != nil {
		token = f.idp.Issue(f.idp.Provider().Regions[0].Name, f.claims(region, form, duration))
	}
	body = fmt.Sprintf(`<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>`+
		`<Expiration>%s</Expiration><WebIdentityToken>%s</WebIdentityToken></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`,
		f.now().Add(duration).UTC().Format(time.RFC3339), escaped(token))
	return http.StatusOK, "", body
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

// claims are those of a token for the role.
func (f *fake) claims(region string, form url.Values, duration time.Duration) issuertest.Claims {
	set := map[string]any{"aws_account": account, "org_id": organization, "source_region": region, "principal_tags": f.tags}
	tags := map[string]any{}
	for i := 1; form.Has(fmt.Sprintf("Tags.member.%d.Key", i)); i++ {
		tags[form.Get(fmt.Sprintf("Tags.member.%d.Key", i))] = form.Get(fmt.Sprintf("Tags.member.%d.Value", i))
	}
	if len(tags) > 0 {
		set["request_tags"] = tags
	}
	return issuertest.Claims{Subject: role, ExpiresIn: duration, Set: map[string]any{
		"aud": form.Get("Audience.member.1"), namespace: set,
	}}
}

// client returns a client of the SDK for one Region.
func (f *fake) client(region string, edit ...func(*sts.Options)) *sts.Client {
	o := sts.Options{Region: region, HTTPClient: &http.Client{Transport: f}, Credentials: aws.CredentialsProviderFunc(
		func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "example", SessionToken: "session"}, nil
		},
	)}
	return sts.New(o, edit...)
}

// source returns a source of the tokens of both Regions.
func (f *fake) source(edit ...func(*sts.Options)) *clientcredentials.TokenSource {
	f.t.Helper()
	return f.sourceOf(workload.Config{Audiences: []string{audience}}, f.client(east, edit...), f.client(west, edit...))
}

func (f *fake) sourceOf(c workload.Config, clients ...workload.Client) *clientcredentials.TokenSource {
	f.t.Helper()
	s, err := workload.New(clients, c)
	require.NoError(f.t, err)
	return s
}

// have demands a token of a Region within a time.
func have(t *testing.T, s *clientcredentials.TokenSource, region string, within time.Duration) *clientcredentials.Token {
	t.Helper()
	began := time.Now()
	token, err := s.Token(t.Context())
	require.NoError(t, err)
	require.Equal(t, region, token.Region())
	require.LessOrEqual(t, time.Since(began), within)
	return token
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
