package albauth_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/aws/albauth"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// The keys of each partition are where AWS says, and nothing is guessed.
func TestKeyServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		arn := func(partition, region string) string {
			return "arn:" + partition + ":elasticloadbalancing:" + region + ":123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
		}
		for _, c := range []struct{ partition, region, given, want string }{
			{"aws", "eu-west-1", "", "https://public-keys.auth.elb.eu-west-1.amazonaws.com/"},
			{"aws", "ap-southeast-4", "", "https://public-keys.auth.elb.ap-southeast-4.amazonaws.com/"},
			{"aws-cn", "cn-north-1", "", "https://public-keys.auth.elb.cn-north-1.amazonaws.com.cn/"},
			{"aws-us-gov", "us-gov-west-1", "", "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/"},
			{"aws-us-gov", "us-gov-east-1", "", "https://s3-us-gov-east-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-east-1/"},
			{"aws", "eu-west-1", "https://keys.example/a/", "https://keys.example/a/"},
			{"aws-eusc", "eusc-de-east-1", "http://127.0.0.1:8080", "http://127.0.0.1:8080/"},
		} {
			s, k := newServer(), key(t)
			s.publish(t, c.want+uuid(7), k)
			config := config(s)
			config.LoadBalancers = []albauth.LoadBalancer{{ARN: arn(c.partition, c.region), KeysURL: c.given}}
			require.Equal(t, "accepted", outcome(newVerifier(t, config), signed(arn(c.partition, c.region), uuid(7), k).String()), c)
			require.Equal(t, c.want+uuid(7), s.requests[0].url)
		}
		for _, partition := range []string{"aws-iso", "aws-eusc"} {
			config := config(newServer())
			config.LoadBalancers = []albauth.LoadBalancer{{ARN: arn(partition, "eusc-de-east-1")}}
			_, err := albauth.New(config)
			require.ErrorContains(t, err, "set KeysURL")
		}
	})
}

// New reports every problem at once.
func TestMisuse(t *testing.T) {
	t.Parallel()
	_, err := albauth.New(albauth.Config{})
	for _, want := range []string{"Clients is empty", "LoadBalancers is empty", "ID"} {
		require.ErrorContains(t, err, want)
	}
	c := config(newServer())
	c.LoadBalancers = []albauth.LoadBalancer{
		{ARN: east},
		{ARN: east},
		{ARN: "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/net/shop/50dc6c495c0c9188"},
		{ARN: east + "\n"},
		{ARN: strings.Replace(west, "us-west-2", "cn-north-1", 1)},
		{ARN: strings.Replace(west, "arn:aws:", "arn:aws-cn:", 1)},
		{ARN: west, Region: "us west", KeysURL: "http://keys.example"},
	}
	c.Clients = []string{"", verifier.AllowAnyClient}
	c.Logger = new(slog.Logger)
	c.Tokens.Revocation = (*revocation.List)(nil)
	c.RequiredClaims = []string{""}
	c.Tokens.Leeway = time.Hour
	_, err = albauth.New(c)
	for _, want := range []string{
		"LoadBalancers[1]: ", "LoadBalancers[2]: ", "LoadBalancers[3]: ", "LoadBalancers[4]: the Region", "LoadBalancers[5]: the Region",
		`LoadBalancers[6]: Region "us west"`, "LoadBalancers[6]: KeysURL", "an ID is empty", "not the only one", "Logger", "Revocation",
		"RequiredClaims", "Leeway",
	} {
		require.ErrorContains(t, err, want)
	}
	for _, u := range []string{"https://user@keys.example", "https://keys.example?x", "https://keys.example#x", "keys", "ftp://keys.example", "https://"} {
		c := config(newServer())
		c.LoadBalancers[0].KeysURL = u
		_, err := albauth.New(c)
		require.ErrorContains(t, err, "KeysURL", u)
	}
	for _, v := range []*albauth.Verifier{nil, {}} {
		_, err := v.Verify(t.Context(), realToken)
		require.ErrorContains(t, err, "albauth.New")
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		require.ErrorContains(t, v.Recheck(t.Context(), nil), "albauth.New")
		require.Nil(t, v.Changed())
	}
}

// service answers requests behind a load balancer.
func service(t *testing.T, v *albauth.Verifier, reqs ...middleware.Requirement) func(tokens ...string) *httptest.ResponseRecorder {
	t.Helper()
	m, err := httpauth.New(v, httpauth.Config{Extractors: []func(*http.Request) (string, error){albauth.FromHeader}})
	require.NoError(t, err)
	handler := m.Require(reqs...)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(verifier.FromContext(r.Context()).Subject()))
	}))
	return func(tokens ...string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/orders", nil)
		r.Header["X-Amzn-Oidc-Data"] = tokens
		if len(tokens) == 0 {
			r.Header.Del("X-Amzn-Oidc-Data")
		}
		handler.ServeHTTP(w, r)
		return w
	}
}

// The middleware reads the header, checks requirements, and rejects what it rejects for any token.
func TestMiddleware(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		get := service(t, newVerifier(t, config(s)), middleware.AnyGroup("admins"))
		good := signed(east, uuid(1), k).with(nil, map[string]any{"groups": []string{"admins"}})
		w := get(good.String())
		require.Equal(t, []any{200, "alice"}, []any{w.Code, w.Body.String()})
		for name, c := range map[string]struct {
			tokens []string
			want   int
		}{
			"no token":        {nil, 401},
			"an empty header": {[]string{""}, 400},
			"two headers":     {[]string{good.String(), good.String()}, 400},
			"a list":          {[]string{good.String() + "," + good.String()}, 400},
			"no token at all": {[]string{"x"}, 401},
			"expired":         {[]string{good.with(map[string]any{"exp": 1}, map[string]any{"exp": nil}).String()}, 401},
			"no group":        {[]string{signed(east, uuid(1), k).String()}, 403},
			"bound to a key":  {[]string{good.with(nil, map[string]any{"cnf": map[string]any{"jkt": "x"}}).String()}, 401},
			"an actor":        {[]string{good.with(nil, map[string]any{"act": map[string]any{"sub": ""}}).String()}, 401},
		} {
			require.Equal(t, c.want, get(c.tokens...).Code, name)
		}
	})
}

// A rule of the Validator's List is in effect for tokens of load balancers, too: at once, over the cache, and for open streams.
func TestARevokedToken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "rules")
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		s.publish(t, westKeys+uuid(2), k)
		idp := issuertest.New(t, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
		all, err := regionjwt.New(regionjwt.Config{
			Policies:   []verifier.Policy{idp.Policy()},
			Revocation: &revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{store.Dir(dir)}}},
		})
		require.NoError(t, err)
		rules := all.Revocation()
		c := config(s)
		c.Tokens.Revocation = rules
		v := newVerifier(t, c)
		alice := signed(east, uuid(1), k)
		require.Equal(t, "rules_unavailable", outcome(v, alice.String()))
		require.NoError(t, rules.Load(t.Context()))
		for name, c := range map[string]struct {
			rule revocation.Rule
			hit  *token
			miss *token
		}{
			"subject": {revocation.Rule{Provider: "us-east-1_AbCdEf123", Subject: "alice"}, alice, alice.with(nil, map[string]any{"sub": "bob"})},
			"client":  {revocation.Rule{Provider: "us-east-1_AbCdEf123", ClientID: client}, alice, nil},
			"client of the payload": {
				revocation.Rule{Provider: "us-east-1_AbCdEf123", ClientID: "x"}, alice.with(nil, map[string]any{"client_id": "x"}), alice,
			},
			"actor": {
				revocation.Rule{Provider: "us-east-1_AbCdEf123", Actor: "bot"},
				alice.with(nil, map[string]any{"act": map[string]any{"sub": "bot"}}),
				alice.with(nil, map[string]any{"act": map[string]any{"sub": "bot", "iss": east}}),
			},
			"region": {revocation.Rule{Provider: "us-east-1_AbCdEf123", Region: "us-east-1"}, alice, signed(west, uuid(2), k)},
			"key":    {revocation.Rule{Provider: "us-east-1_AbCdEf123", KeyID: uuid(1)}, alice, signed(west, uuid(2), k)},
		} {
			hit := c.hit.String()
			verified, err := v.Verify(t.Context(), hit)
			require.NoError(t, err, name)
			ctx, stop := middleware.Watch(t.Context(), v, verified, 0)
			added, err := rules.Add(t.Context(), c.rule)
			require.NoError(t, err, name)
			require.Contains(t, outcome(v, hit), "revoked", name)
			require.ErrorContains(t, v.Recheck(t.Context(), verified), "revoked", name)
			synctest.Wait()
			require.ErrorContains(t, context.Cause(ctx), "revoked", name)
			stop()
			if c.miss != nil {
				require.Equal(t, "accepted", outcome(v, c.miss.String()), name)
			}
			require.NoError(t, rules.Remove(t.Context(), added), name)
			require.Equal(t, "accepted", outcome(v, hit), name)
		}
	})
}

// A token of a load balancer is good for its Verifier only, and the reverse.
func TestTokensOfOtherVerifiersAreNotAccepted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		v, again := newVerifier(t, config(s)), newVerifier(t, config(s))
		idp := issuertest.New(t, issuer.Cognito("us-east-1_AbCdEf123", "us-west-2"), issuertest.Config{Algorithm: "ES256"})
		other, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{idp.Policy()}})
		require.NoError(t, err)
		own, err := v.Verify(t.Context(), signed(east, uuid(1), k).String())
		require.NoError(t, err)
		foreign, err := other.Verify(t.Context(), idp.Issue("us-east-1", issuertest.Claims{}))
		require.NoError(t, err)
		require.NoError(t, v.Recheck(t.Context(), own))
		for _, err := range []error{
			other.Recheck(t.Context(), own), v.Recheck(t.Context(), foreign), again.Recheck(t.Context(), own),
			v.Recheck(t.Context(), nil), v.Recheck(t.Context(), &verifier.Token{}),
		} {
			require.ErrorIs(t, err, verifier.ErrInvalid)
		}
		_, err = other.Verify(t.Context(), signed(east, uuid(1), k).String())
		require.ErrorIs(t, err, verifier.ErrInvalid)
		_, err = v.Verify(t.Context(), idp.Issue("us-east-1", issuertest.Claims{}))
		require.ErrorIs(t, err, verifier.ErrInvalid)
	})
}

// Policy.Check has its say each time, and decisions are observed.
func TestCheckAndDecisions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, k := newServer(), key(t)
		s.publish(t, eastKeys+uuid(1), k)
		c, cached, refuse := config(s), 0, false
		c.Tokens.OnDecision = func(_ context.Context, d verifier.Decision) {
			if d.Cached {
				cached++
			}
		}
		c.Check = func(context.Context, *verifier.Token) error {
			if refuse {
				return errors.New("no")
			}
			return nil
		}
		v, raw := newVerifier(t, c), signed(east, uuid(1), k).String()
		require.Equal(t, "accepted", outcome(v, raw))
		require.Equal(t, "accepted", outcome(v, raw))
		require.Equal(t, 1, cached)
		refuse = true
		require.Equal(t, "check_failed", outcome(v, raw))
	})
}
