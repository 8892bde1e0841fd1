package otel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

// judged returns what a hook is told of a token that is remembered.
func judged(tb testing.TB) (token, refused verifier.Verified) {
	tb.Helper()
	w := issuertest.New(tb, issuertest.Config{Algorithm: "ES256"})
	var told []verifier.Verified
	v, err := regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: w.Client()},
		Policies: []verifier.Policy{{
			Provider: w.Provider(), Audience: verifier.CognitoAccess(issuertest.ClientID), Algorithms: []string{"ES256"},
		}},
		Hooks: verifier.Hooks{Verified: func(_ context.Context, v verifier.Verified) { told = append(told, v) }},
	})
	require.NoError(tb, err)
	require.NoError(tb, v.Keys().Preload(context.Background()))
	raw := w.Token("us-east-1", issuertest.Claims{})
	for range 2 {
		_, err = v.Verify(context.Background(), raw)
		require.NoError(tb, err)
	}
	_, err = v.Verify(context.Background(), w.Token("us-east-1", issuertest.Claims{ExpiresIn: -1e15}))
	require.Error(tb, err)
	require.True(tb, told[1].Cached)
	return told[1], told[2]
}

func BenchmarkVerified(b *testing.B) {
	accepted, refused := judged(b)
	o, err := otel.New(otel.Config{
		MeterProvider: metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())), Authorities: 10, Issuers: map[string]string{accepted.Token.Issuer(): "updated"},
	})
	require.NoError(b, err)
	hook := o.VerifierHooks().Verified
	for name, v := range map[string]verifier.Verified{"accepted": accepted, "refused": refused} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				hook(ctx, v)
			}
		})
	}
}
