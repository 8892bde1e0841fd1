package otel_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

// decisions returns an accepted token that is cached, and a rejection.
func decisions(tb testing.TB) (accepted, rejected verifier.Decision) {
	tb.Helper()
	w := fakeissuer.New(tb, fakeissuer.Config{Algorithm: "ES256"})
	var all []verifier.Decision
	v, err := regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: w.Client()},
		Policies: []verifier.Policy{{
			Provider: w.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
		}},
		Tokens: verifier.Config{OnDecision: func(_ context.Context, d verifier.Decision) { all = append(all, d) }},
	})
	require.NoError(tb, err)
	raw := w.Issue("us-east-1", fakeissuer.Claims{})
	for range 2 {
		_, err = v.Verify(context.Background(), raw)
		require.NoError(tb, err)
	}
	_, err = v.Verify(context.Background(), w.Issue("us-east-1", fakeissuer.Claims{ExpiresIn: -1e15}))
	require.Error(tb, err)
	require.True(tb, all[1].Cached)
	return all[1], all[2]
}

func BenchmarkDecision(b *testing.B) {
	accepted, rejected := decisions(b)
	o := &observed{status: twoRegions}
	_, err := otel.InstrumentSource(o, otel.Config{
		MeterProvider: metric.NewMeterProvider(metric.WithReader(metric.NewManualReader())),
		IssuerNames:   map[string]string{accepted.Token.Issuer(): "updated"},
	})
	require.NoError(b, err)
	for name, d := range map[string]verifier.Decision{"accepted": accepted, "rejected": rejected} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ctx := context.Background()
			for b.Loop() {
				o.observer.Decision(ctx, d)
			}
		})
	}
}
