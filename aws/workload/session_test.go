package workload_test

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/aws/workload"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// A role session that is about to end gives shorter tokens, each of which ends before the session, and none that AWS refuses as
// long as a token of a minute fits.
func TestASessionAboutToEndGivesShorterTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		s := f.sourceOf(workload.Config{Audiences: []string{audience}, Duration: time.Hour}, f.client(east), f.client(west))
		f.end(time.Now().Add(20 * time.Minute))
		token := have(t, s, east, 0)
		require.Equal(t, []string{"3600", "1800", "900"}, f.durations(east))
		require.Equal(t, 15*time.Minute, time.Until(token.Expiry()))
		for time.Until(f.ends()) > 75*time.Second { // a token is renewed before 3/4 of a minute has passed, or a bit later
			token, err := s.Token(t.Context())
			require.NoError(t, err)
			require.False(t, token.Expiry().After(f.ends()))
			time.Sleep(time.Second)
		}
		time.Sleep(75 * time.Second)
		_, err := s.Token(t.Context()) // the session has ended, and the client does not know it
		require.ErrorIs(t, err, clientcredentials.ErrRejected)
		require.ErrorContains(t, err, "rejected ExpiredToken")

		f.end(time.Now().Add(30 * time.Second))
		s = f.source()
		_, err = s.Token(t.Context())
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
		require.EqualError(t, err, "clientcredentials: no region answers; region us-east-1: session_ending; region us-west-2: session_ending")
		f.end(time.Now().Add(time.Hour)) // there are new credentials
		time.Sleep(time.Second)
		require.Equal(t, 5*time.Minute, time.Until(have(t, s, east, 0).Expiry()))
	})
}

// Where the client knows when its credentials expire, a token that would outlive them is not requested.
func TestCredentialsThatExpireAreHeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.end(time.Now().Add(10*time.Minute + 500*time.Millisecond))
		s := f.sourceOf(workload.Config{Audiences: []string{audience}, Duration: time.Hour}, f.client(east, func(o *sts.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "A", SecretAccessKey: "b", CanExpire: true, Expires: f.ends()}, nil
			})
		}))
		require.Equal(t, 10*time.Minute, time.Until(have(t, s, east, 0).Expiry()))
		require.Equal(t, []string{"600"}, f.durations(east))
	})
}

// A token that was issued for less than was asked for is not used beyond that.
func TestATokenIsNotUsedBeyondItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for payload, want := range map[string]time.Duration{
			`{"iat":1000,"exp":1090}`: 90 * time.Second, `{"iat":1000,"exp":9000}`: 5 * time.Minute, `{"iat":1000,"exp":1000}`: 5 * time.Minute,
			`{"exp":1090}`: 5 * time.Minute, `{"iat":1,"exp":9223372036854775807}`: 5 * time.Minute, `[]`: 5 * time.Minute,
		} {
			f := newFake(t)
			f.set(east, answer{body: "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>e30." +
				base64.RawURLEncoding.EncodeToString([]byte(payload)) +
				".AAAA</WebIdentityToken></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"})
			require.Equal(t, want, time.Until(have(t, f.source(), east, 0).Expiry()), payload)
		}
	})
}

// Credentials that do not come are no failure of a Region, if the answer of another Region has ended the wait.
func TestCredentialsThatDoNotCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.set(east, answer{after: 300 * time.Millisecond, status: 403, code: "AccessDenied"})
		var mu sync.Mutex
		failures := map[string]string{}
		s := f.sourceOf(workload.Config{Audiences: []string{audience}, OnRequest: func(region, failure string, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			failures[region] = failure
		}}, f.client(east), f.client(west, func(o *sts.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
				<-ctx.Done()
				return aws.Credentials{}, ctx.Err()
			})
		}))
		_, err := s.Token(t.Context())
		require.ErrorContains(t, err, "region us-east-1: rejected AccessDenied")
		time.Sleep(settle)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, map[string]string{east: "rejected AccessDenied"}, failures)
	})
}

// A clock that is off costs one more request, and no error.
func TestAClockThatIsOff(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			f.skew = skew
			token := have(t, f.source(), east, 0)
			require.Equal(t, 5*time.Minute, time.Until(token.Expiry()))
			require.Equal(t, [2]int{2, 0}, f.asked())
		})
	}
}

// A source that has nothing to sign with says so.
func TestAClientWithoutCredentials(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		broken := errors.New("s3cret: no instance metadata")
		s := f.source(func(o *sts.Options) {
			o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, broken })
		})
		_, err := s.Token(t.Context())
		require.ErrorIs(t, err, clientcredentials.ErrUnavailable)
		require.ErrorIs(t, err, broken)
		require.EqualError(t, err, "clientcredentials: no region answers; region us-east-1: no_credentials; region us-west-2: no_credentials")
		require.Equal(t, [2]int{0, 0}, f.asked())
	})
}
