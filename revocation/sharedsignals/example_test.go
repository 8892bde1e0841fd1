package sharedsignals_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

func Example() {
	// A provider that also sends security events, in place of yours, and a store that a fleet shares.
	const realm = "https://keycloak.example.com/realms/shop"
	shop := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{realm}, JWKSURLs: []string{realm + "/protocol/openid-connect/certs"}},
	}}
	idp := issuertest.New(nil, shop, issuertest.Config{Algorithm: "ES256"})
	defer idp.Close()
	transmitter := signalstest.New(idp, "eu", "https://events.example.com/shop")
	redis := &memory{}
	public, private, _ := ed25519.GenerateKey(nil)

	// The receiver: one small process in each Region. Its key is for its own document only.
	key := store.PublicKey{Key: public, Documents: []string{"regionjwt/signals"}}
	receiver, err := sharedsignals.New(sharedsignals.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{store.Signed(redis, "production", private, key)}},
		Transmitters: []sharedsignals.Transmitter{{
			Provider: transmitter.Provider(),
			Audience: []string{"https://events.example.com/shop"},
			Issuers:  map[string]string{realm: "shop"},
		}},
		OnEvent: func(transmitter, kind, outcome, _ string) { fmt.Println(transmitter, kind, outcome) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/events/shop", receiver.Handler("shop")) // and: go receiver.Run(ctx)

	// Every service: it follows the document.
	policy := idp.Policy()
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{policy},
		Revocation: &revocation.Config{Signals: []revocation.Signals{{
			Replica:   store.ReplicaConfig{Stores: []store.Trusted{store.Signed(redis, "production", nil, key)}},
			Providers: []string{"shop"},
		}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = v.Run(ctx) }()
	_ = v.Preload(ctx)

	token := idp.Issue("eu", issuertest.Claims{Subject: "alice"})
	_, err = v.Verify(ctx, token)
	fmt.Println("before:", err)

	// An administrator disables the account, and the provider says so.
	event := transmitter.Issue(signalstest.Event{
		Type: "risc/account-disabled", Subject: map[string]any{"format": "iss_sub", "iss": realm, "sub": "alice"},
	})
	fmt.Println("the receiver answers", transmitter.Push(receiver.Handler("shop"), nil, event))
	changed := v.Changed()
	if _, err = v.Verify(ctx, token); err == nil {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
		}
		_, err = v.Verify(ctx, token)
	}
	fmt.Println("after:", err.(*verifier.Error).Reason)
	// Output:
	// before: <nil>
	// shop account-disabled applied
	// the receiver answers [202]
	// after: revoked
}
