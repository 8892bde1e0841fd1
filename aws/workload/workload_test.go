package workload_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/workload"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// settle is longer than any request takes.
const settle = 6 * time.Second

// A source asks one Region for a token, for as long as it was configured to, and no other one for as long as that works.
func TestATokenIsRequestedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		c := workload.Config{
			Audiences: []string{audience, "https://other.example.com"}, Algorithm: "RS256", Duration: 30 * time.Minute,
			Tags: map[string]string{"team": "a"},
		}
		s := f.sourceOf(c, f.client(east), f.client(west))
		c.Audiences[0], c.Tags["team"] = "changed", "changed" // later, of which the source knows nothing
		token := have(t, s, east, 0)
		require.Equal(t, 30*time.Minute, time.Until(token.Expiry()))
		form := f.requests[east][0]
		for name, want := range map[string]string{
			"Audience.member.1": audience, "Audience.member.2": "https://other.example.com", "SigningAlgorithm": "RS256",
			"DurationSeconds": "1800", "Tags.member.1.Key": "team", "Tags.member.1.Value": "a",
		} {
			require.Equal(t, want, form.Get(name), name)
		}
		require.Same(t, token, have(t, s, east, 0))
		require.Equal(t, [2]int{1, 0}, f.asked())

		s = f.source()
		require.Equal(t, 5*time.Minute, time.Until(have(t, s, east, 0).Expiry()))
		require.Equal(t, []string{"300"}, f.durations(east))
		require.Equal(t, "ES384", f.requests[east][0].Get("SigningAlgorithm"))
		require.Equal(t, []string{"Action", "Audience.member.1", "DurationSeconds", "SigningAlgorithm", "Version"}, keys(f.requests[east][0]))
	})
}

// What one Region does costs callers no token, and at most 200 ms; the other one is asked once.
func TestARegionIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer  answer
		failure string
		hedged  bool
	}{
		"silent":        {silent, "timeout", true},
		"late":          {answer{after: 4 * time.Second}, "", true},
		"a lost answer": {reset, "network", false},
		"throttled":     {throttled, "throttled", false},
		"429":           {answer{status: 429, body: "{}"}, "throttled", false},
		"503":           {down, "status 503", false},
		"500":           {answer{status: 500, code: "InternalFailure"}, "status 500", false},
		"501 final":     {answer{status: 501, code: "AccessDenied"}, "status 501", false},
		"not activated": {answer{status: 403, code: "RegionDisabledException"}, "status 403", false},
		"not enabled":   {answer{status: 403, code: "InvalidClientTokenId"}, "status 403", false},
		"a web page":    {answer{body: "<html>"}, "malformed", false},
		"no token":      {answer{body: "<GetWebIdentityTokenResponse/>"}, "malformed", false},
		"an odd token": {answer{body: "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>a b</WebIdentityToken>" +
			"</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"}, "malformed", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				var mu sync.Mutex
				failures := map[string]string{}
				s := f.sourceOf(workload.Config{Audiences: []string{audience}, OnRequest: func(region, failure string, _ time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					failures[region] = failure
				}}, f.client(east), f.client(west))
				f.set(east, c.answer)
				within := time.Duration(0)
				if c.hedged {
					within = 200 * time.Millisecond
				}
				var wg sync.WaitGroup
				began := time.Now()
				for range 50 {
					wg.Go(func() {
						token, err := s.Token(t.Context())
						require.NoError(t, err)
						require.Equal(t, west, token.Region())
					})
				}
				wg.Wait()
				require.LessOrEqual(t, time.Since(began), within)
				require.Equal(t, [2]int{1, 1}, f.asked())
				time.Sleep(settle)
				mu.Lock()
				defer mu.Unlock()
				require.Equal(t, map[string]string{east: c.failure, west: ""}, failures)
			})
		})
	}
}

// What AWS says about the role, the account or the request is final: no other Region is asked, and the error says it, with that of
// the SDK behind it and no word of the service in its text.
func TestARejectionIsFinal(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"AccessDenied", "ExpiredToken", "ExpiredTokenException", "JWTPayloadSizeExceededException", "ValidationError",
		disabled.code, "IncompleteSignature",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			s := f.source()
			f.set(east, answer{status: 403, code: code})
			_, err := s.Token(t.Context())
			require.ErrorIs(t, err, clientcredentials.ErrRejected)
			require.EqualError(t, err, "clientcredentials: region us-east-1: rejected "+code)
			var api smithy.APIError
			require.ErrorAs(t, err, &api)
			require.Equal(t, code, api.ErrorCode())
			require.Equal(t, [2]int{1, 0}, f.asked())
			if code == disabled.code {
				var typed *types.OutboundWebIdentityFederationDisabledException
				require.ErrorAs(t, err, &typed)
			}
			f.set(east, answer{})
			time.Sleep(10 * time.Second)
			have(t, s, east, 0)
		})
	}
}

// A token is renewed ahead of time while a Region works, at another moment in each process; an outage of all Regions is not noticed
// for as long as the token is valid.
func TestATokenIsRenewedAheadOfTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		moments := map[time.Duration]bool{}
		for range 20 {
			s := f.source()
			first, began := have(t, s, east, 0), time.Now()
			for {
				token := have(t, s, east, 0)
				if token != first {
					break
				}
				time.Sleep(100 * time.Millisecond)
			}
			moments[time.Since(began)] = true
			require.InDelta(t, 232, time.Since(began).Seconds(), 10)
		}
		require.Greater(t, len(moments), 10)

		s := f.source()
		token := have(t, s, east, 0)
		f.set(east, down)
		f.set(west, silent)
		for range 29 {
			time.Sleep(10 * time.Second)
			require.Same(t, token, have(t, s, east, time.Second))
		}
		time.Sleep(10 * time.Second)
		_, err := s.Token(t.Context())
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
		time.Sleep(settle)
	})
}

// Hours of any answers: no token is used beyond its time or the session's, a Region that works is found, and there is no flood.
func TestAnyAnswers(t *testing.T) {
	t.Parallel()
	all := []answer{silent, reset, throttled, down, {status: 403, code: "RegionDisabledException"}, {after: time.Second}, {}, {}, {}, {}}
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			f, r := newFake(t), rand.New(rand.NewPCG(seed, 1))
			s := f.source()
			well := map[string]time.Time{east: time.Now(), west: time.Now()}
			for began := time.Now(); time.Since(began) < 3*time.Hour; {
				for _, region := range []string{east, west} {
					if r.IntN(40) == 0 {
						a := all[r.IntN(len(all))]
						f.set(region, a)
						switch {
						case a != answer{}:
							well[region] = time.Time{}
						case well[region].IsZero():
							well[region] = time.Now()
						}
					}
				}
				steady := false
				for _, since := range well {
					steady = steady || !since.IsZero() && time.Since(since) > 12*time.Second
				}
				if f.ends().IsZero() || time.Until(f.ends()) < 5*time.Minute {
					f.end(time.Now().Add(time.Duration(6+r.IntN(60)) * time.Minute)) // the SDK renews it
				}
				token, err := s.Token(t.Context())
				if steady {
					require.NoError(t, err)
				}
				if err == nil {
					require.True(t, token.Expiry().After(time.Now()))
				} else {
					require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
				}
				time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			}
			asked := f.asked()
			require.Less(t, asked[0]+asked[1], 3*3600)
			time.Sleep(settle)
		})
	}
}

// With one Region, the SDK repeats a request that fails, within the time of one request.
func TestASingleRegionIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		s := f.sourceOf(workload.Config{Audiences: []string{audience}}, f.client(east))
		f.set(east, down)
		began := time.Now()
		_, err := s.Token(t.Context())
		require.ErrorContains(t, err, "no region answers; region us-east-1: status 503")
		require.LessOrEqual(t, time.Since(began), 5*time.Second)
		require.Greater(t, f.asked()[0], 1)
		time.Sleep(settle)
	})
}

// An exchange is another grant, which AWS does not have: the workload's own token is not the answer.
func TestNoExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		_, err := f.source().Exchange(t.Context(), clientcredentials.Exchange{SubjectToken: "abc"})
		require.ErrorContains(t, err, "rejected unsupported_grant_type")
		require.Equal(t, [2]int{0, 0}, f.asked())
	})
}

// odd is a client that misbehaves.
type odd struct {
	workload.Client
	options func() sts.Options
	panics  bool
}

func (o odd) Options() sts.Options { return o.options() }

func (o odd) GetWebIdentityToken(
	context.Context, *sts.GetWebIdentityTokenInput, ...func(*sts.Options),
) (*sts.GetWebIdentityTokenOutput, error) {
	if o.panics {
		panic("s3cret")
	}
	return nil, nil //nolint:nilnil // it is odd
}

// A client that panics or answers nothing is a Region that fails.
func TestClientsThatMisbehave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		region := func() sts.Options { return sts.Options{Region: east} }
		for failure, client := range map[string]odd{"panicked": {options: region, panics: true}, "malformed": {options: region}} {
			s := f.sourceOf(workload.Config{Audiences: []string{audience}}, client)
			_, err := s.Token(t.Context())
			require.EqualError(t, err, "clientcredentials: no region answers; region us-east-1: "+failure)
			have(t, f.sourceOf(workload.Config{Audiences: []string{audience}}, client, f.client(west)), west, 0)
		}
	})
}

// New reports every mistake at once.
func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	tags := map[string]string{"": "x"}
	for i := range 50 {
		tags[string(rune('a'+i))] = "x"
	}
	_, err := workload.New([]workload.Client{
		nil, (*sts.Client)(nil), &sts.Client{}, f.client(""), f.client("aws-global"), f.client("not a region"), f.client(east), f.client(east),
		f.client(west, func(o *sts.Options) { o.BaseEndpoint = aws.String("https://sts.amazonaws.com/") }),
		odd{options: func() sts.Options { panic("s3cret") }},
	}, workload.Config{
		Audiences: []string{""}, Algorithm: "ES256", Duration: 30*time.Second + 1, Tags: tags, Logger: &slog.Logger{},
	})
	for _, part := range []string{
		"Audiences: one is empty", `Algorithm "ES256" is neither`, "is not between 1 minute and 1 hour", "not in whole seconds",
		"Tags: there are more than 50", "Tags: a key is empty", "Logger has no handler", "client number 0: it is nil",
		"client number 1: it is nil", "client number 2: it is nil", "client number 3: it has no Region",
		"client number 4: it uses the global endpoint", `client number 5: "not a region" is not a Region`,
		"client number 7: another one is of the Region us-east-1", "client number 8: it uses the global endpoint",
		"client number 9: Options panicked",
	} {
		require.ErrorContains(t, err, part)
	}
	require.NotContains(t, err.Error(), "s3cret")
	_, err = workload.New(nil, workload.Config{})
	require.EqualError(t, err, "workload: Audiences: one is required\nworkload: there is no client")
}

// A request to a service has the token, and no log has it.
func TestRequestsHaveTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		var log bytes.Buffer
		s := f.sourceOf(workload.Config{Audiences: []string{audience}, Logger: slog.New(slog.NewTextHandler(&log, nil))}, f.client(east), f.client(west))
		f.set(east, throttled)
		transport, err := s.Transport(service(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: req.Header, Body: http.NoBody}, nil
		}), audience)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, audience+"/orders", nil)
		require.NoError(t, err)
		resp, err := transport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		token := have(t, s, west, 0)
		require.Equal(t, "Bearer "+token.Value(), resp.Header.Get("Authorization"))
		synctest.Wait()
		require.Contains(t, log.String(), "region=us-east-1 failure=throttled")
		require.NotContains(t, log.String(), token.Value())
		require.NotContains(t, log.String(), "s3cret")
	})
}

type service func(*http.Request) (*http.Response, error)

func (s service) RoundTrip(req *http.Request) (*http.Response, error) { return s(req) }
