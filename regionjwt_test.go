package regionjwt_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// The outage story: a user pool in two regions, one of which is lost for a day, and a service whose callers notice nothing.
func TestOutageStory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeissuer.New(t, fakeissuer.Config{})
		v, err := regionjwt.New(regionjwt.Config{
			Keys:     jwks.Config{HTTPClient: fake.Client()},
			Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID)}},
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- v.Run(ctx) }()
		accept := func(region string) {
			t.Helper()
			began := time.Now()
			token, err := v.Verify(ctx, fake.Issue(region, fakeissuer.Claims{}))
			require.NoError(t, err)
			require.Contains(t, token.Regions(), region)
			require.Zero(t, time.Since(began), "no request waits")
		}
		synctest.Wait()
		accept("us-east-1")
		accept("us-west-2")

		fake.Hang("us-east-1")
		for range 23 {
			time.Sleep(time.Hour)
			accept("us-east-1")
			accept("us-west-2")
		}
		fake.Rotate("us-west-2")
		accept("us-west-2")
		_, err = v.Verify(ctx, fake.Issue("us-west-2", fakeissuer.Claims{Forged: true}))
		require.ErrorIs(t, err, verifier.ErrInvalid)

		fake.Restore("us-east-1")
		time.Sleep(time.Hour)
		accept("us-east-1")
		accept("us-west-2")
		fresh := map[string]bool{}
		for _, s := range v.Status().Keys {
			if s.State == "fresh" && time.Since(s.LastSuccess) < 17*time.Minute { // the other URLs of the region are not asked
				require.Len(t, s.KeyIDs, 2)
				fresh[s.Region] = true
			}
		}
		require.Len(t, fresh, 2)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestNewDoesNoIO(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // the bubble would not end with a goroutine left
		fake := fakeissuer.New(t, fakeissuer.Config{Algorithm: "ES256"})
		v, err := regionjwt.New(regionjwt.Config{
			Keys:     jwks.Config{HTTPClient: fake.Client()},
			Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.CognitoAccess("c")}},
		})
		require.NoError(t, err)
		require.NotNil(t, v)
		synctest.Wait()
		require.Zero(t, fake.Fetches("us-east-1")+fake.Fetches("us-west-2"))
	})
}

// ban revokes the tokens of one subject.
type ban struct{ subject string }

func (b ban) Revoked(t *verifier.Token) (string, error) {
	if t.Subject() == b.subject {
		return "rule", nil
	}
	return "", nil
}

func (ban) Changed() <-chan struct{} { return nil }

// Update changes what is trusted, and nothing else: neither rules nor keys get lost.
func TestUpdateKeepsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Algorithm: "ES256"})
		trust := verifier.Policy{Provider: fake.Provider(), Audience: verifier.Audience(fakeissuer.Audience)}
		v, err := regionjwt.New(regionjwt.Config{
			Keys: jwks.Config{HTTPClient: fake.Client()}, Policies: []verifier.Policy{trust},
			Tokens: verifier.Config{Revocation: ban{"mallory"}},
		})
		require.NoError(t, err)
		good := fake.Issue("us-east-1", fakeissuer.Claims{})
		revoked := fake.Issue("us-east-1", fakeissuer.Claims{Subject: "mallory"})
		check := func(want error) {
			t.Helper()
			_, err := v.Verify(t.Context(), good)
			require.ErrorIs(t, err, want)
			_, err = v.Verify(t.Context(), revoked)
			require.ErrorIs(t, err, verifier.ErrInvalid)
		}
		check(nil)
		fetches := fake.Fetches("us-east-1")

		trust.MaxAge = time.Hour
		require.NoError(t, v.Update([]verifier.Policy{trust}))
		check(nil)
		require.Equal(t, fetches, fake.Fetches("us-east-1"), "its keys stay")

		wrong := trust
		wrong.Algorithms = []string{"HS256"}
		require.ErrorContains(t, v.Update([]verifier.Policy{wrong}), "HS256")
		insecure := trust
		insecure.Provider.Regions = []issuer.Region{{
			Name: "r", Issuers: []string{"https://idp.example/t"}, JWKSURLs: []string{"http://idp.example/keys"},
		}}
		require.ErrorContains(t, v.Update([]verifier.Policy{insecure}), "JWKS URL")
		check(nil)

		other := trust
		other.Provider = issuer.Provider{ID: "other", Regions: []issuer.Region{{Name: "r", Issuers: []string{"https://idp.example/t"}}}}
		require.NoError(t, v.Update([]verifier.Policy{other}))
		check(verifier.ErrInvalid)
		require.NoError(t, v.Update([]verifier.Policy{other, trust}))
		check(nil)
	})
}

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	one := issuer.Region{Name: "r", Issuers: []string{"https://idp.example/t"}, JWKSURLs: []string{"http://idp.example/keys"}}
	_, err := regionjwt.New(regionjwt.Config{
		Keys:   jwks.Config{RefreshInterval: -1},
		Tokens: verifier.Config{Leeway: time.Hour},
		Policies: []verifier.Policy{
			{Provider: issuer.Provider{ID: "a", Regions: []issuer.Region{one}}, Algorithms: []string{"HS256"}},
			{Provider: issuer.Provider{ID: "b", Regions: []issuer.Region{one}}, Audience: verifier.Audience("")},
			{Provider: issuer.Provider{ID: "c", Regions: []issuer.Region{{Name: "r", Issuers: []string{"http://idp.example"}}}}},
		},
	})
	for _, want := range []string{
		"RefreshInterval", "JWKS URL", "Leeway", "it is not set", `"HS256"`, "is empty", `issuer "http://idp.example": https is required`,
		`listed by the providers "a" and "b"`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotErrorIs(t, err, verifier.ErrInvalid, "a configuration error is none of a token")
}

// A controller learns from the fetches of keys alone that a region is lost, and that it has come back.
func TestTheControllerFollowsTheKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeissuer.New(t, fakeissuer.Config{})
		var fetched atomic.Int64
		v, err := regionjwt.New(regionjwt.Config{
			Keys:     jwks.Config{HTTPClient: fake.Client(), OnFetch: func(jwks.Fetch) { fetched.Add(1) }},
			Policies: []verifier.Policy{{Provider: fake.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID)}},
			Failover: map[string]failover.Config{fake.Provider().ID: {Automatic: true}},
		})
		require.NoError(t, err)
		controller := v.Failover(fake.Provider().ID)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = v.Run(ctx) })
		time.Sleep(time.Minute)
		require.Equal(t, "healthy", controller.Status().Regions[0].Health)
		fake.Break("us-east-1")
		time.Sleep(time.Hour)
		require.Equal(t, "us-west-2", controller.Active())
		fake.Restore("us-east-1")
		time.Sleep(time.Hour)
		require.Equal(t, "us-east-1", controller.Active())
		require.Positive(t, fetched.Load())
		cancel()
		running.Wait()
	})
}

// Each mistake is reported once, whichever parts find it.
func TestAMistakeIsReportedOnce(t *testing.T) {
	t.Parallel()
	one := verifier.Policy{Provider: issuer.OIDC("https://a.example"), Audience: verifier.Audience("x")}
	other, plain := one, one
	other.Provider.ID = "other"
	plain.Provider = issuer.Provider{ID: "plain", Regions: []issuer.Region{
		{Name: "r", Issuers: []string{"urn:p"}, JWKSURLs: []string{"http://p.example/keys"}},
	}}
	for want, policies := range map[string][]verifier.Policy{
		`verifier: provider "https://a.example" has two policies`:                                         {one, one},
		`verifier: issuer "https://a.example" is listed by the providers "https://a.example" and "other"`: {one, other},
	} {
		_, err := regionjwt.New(regionjwt.Config{Policies: policies})
		require.EqualError(t, err, want)
		_, err = regionjwt.New(regionjwt.Config{Policies: append(policies, plain)})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "https is required")
		require.Equal(t, 1, strings.Count(err.Error(), "\n"), "two mistakes")
	}
}

// Preload names every region that it has no keys of, also when its context ends, and Run returns the error of its context, whatever
// the cause.
func TestErrorsOfAContextHideNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fake := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion})
		fake.Break("us-east-1")
		fake.Hang("us-west-2")
		policy := verifier.Policy{Provider: fake.Provider(), Audience: verifier.Audience("x")}
		policy.Provider.HTTPClient = fake.Client()
		v, err := regionjwt.New(regionjwt.Config{Policies: []verifier.Policy{policy}})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = v.Preload(ctx)
		require.ErrorContains(t, err, "keys of the issuer are not available")
		require.ErrorContains(t, err, `region "us-east-1"`)
		require.ErrorContains(t, err, `region "us-west-2"`)

		stopped := errors.New("stopped")
		running, stop := context.WithCancelCause(t.Context())
		stop(stopped)
		require.Equal(t, context.Canceled, v.Run(running))
		time.Sleep(time.Minute)
	})
}
