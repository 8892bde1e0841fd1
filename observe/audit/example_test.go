package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

// A line for each decision. The subject is written so that only who has the key can find the lines of a person.
func Example() {
	key := []byte("32 octets that are kept elsewhere") // of a secret store
	records, err := audit.New(audit.Config{
		Handler: slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: steady}),
		Subject: audit.Keyed, DigestKey: key,
		RepeatsOneIn: 2, RefusalsPerSecond: 100,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	world := issuertest.New(nil, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"})
	defer world.Close()
	v, err := regionjwt.New(regionjwt.Config{
		Keys:     jwks.Config{HTTPClient: world.Client()},
		Policies: []verifier.Policy{{Provider: world.Provider(), Audience: verifier.Audience(issuertest.Audience)}},
		Hooks:    verifier.Hooks{Verified: records.Verified},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, token := range []string{
		world.Token("us-west-2", issuertest.Claims{Subject: "alice"}),
		world.Token("us-east-1", issuertest.Claims{ExpiresIn: -time.Hour}),
	} {
		_, _ = v.Verify(context.Background(), token)
	}
	fmt.Println("alice:", audit.Digest(key, "subject", world.Provider().ID, "alice"))
	// Output:
	// {"level":"INFO","msg":"token","outcome":"accepted","authority":"test-authority","issuer":"https://us-west-2.idp.example/tenant","region":"us-west-2","key_origin":"fetched","remembered":false,"rules":0,"subject":"hmac:MbcCma8z6_BjMNWbfZQHKhM0EIvGyRJ-YbE8qKqK_f8"}
	// {"level":"INFO","msg":"token","outcome":"invalid","reason":"expired","authority":"test-authority","region":"us-east-1","remembered":false,"rules":0}
	// alice: MbcCma8z6_BjMNWbfZQHKhM0EIvGyRJ-YbE8qKqK_f8
}

// steady leaves out what is different each time.
func steady(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.TimeKey, "key", "key_age_seconds", "took_seconds":
		return slog.Attr{}
	}
	return a
}
