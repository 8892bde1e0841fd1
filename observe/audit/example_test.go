package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

// One line for each decision. The subject is a pseudonym: only the holder of the key can find the records of a user.
func Example() {
	records, err := audit.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: steady}), audit.Config{
		PseudonymKey:           []byte("32 bytes or more from a secret store"),
		Plain:                  []string{"client_id"},
		SampleCached:           100,
		MaxRejectionsPerSecond: 50,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer records.Flush(context.Background())
	provider := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://us-east-1.idp.example"}},
		{Name: "us-west-2", Issuers: []string{"https://us-west-2.idp.example"}},
	}}
	server := issuertest.New(nil, provider, issuertest.Config{Algorithm: "ES256"})
	defer server.Close()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{server.Policy()},
		Tokens:   verifier.Config{OnDecision: records.Record},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, token := range []string{
		server.Issue("us-west-2", issuertest.Claims{Subject: "alice"}),
		server.Issue("us-east-1", issuertest.Claims{ExpiresIn: -time.Hour}),
	} {
		_, _ = v.Verify(context.Background(), token)
	}
	// Output:
	// {"level":"INFO","msg":"token","outcome":"accepted","provider":"shop","issuer":"https://us-west-2.idp.example","region":"us-west-2","key_origin":"fetched","cached":false,"subject":"hmac:oIsff-4snoz8MNZNP_OWdElMMx-E11nyfAC1ajS4Cgc","client_id":"test-client"}
	// {"level":"INFO","msg":"token","outcome":"invalid","reason":"expired","provider":"shop","region":"us-east-1","cached":false}
}

// steady drops the attributes that differ in each run.
func steady(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "key_id", "thumbprint", "key_age_seconds", "duration_seconds", "token_id":
		return slog.Attr{}
	}
	return a
}
