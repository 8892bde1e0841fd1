package signalstest_test

import (
	"fmt"
	"io"
	"net/http"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
)

// A receiver of your own must reject a forged event. This one accepts whatever it gets.
func Example() {
	shop := issuer.Provider{ID: "shop", Regions: []issuer.Region{
		{Name: "eu", Issuers: []string{"https://idp.example.com"}, JWKSURLs: []string{"https://idp.example.com/jwks.json"}},
	}}
	idp := issuertest.New(nil, shop, issuertest.Config{Algorithm: "ES256"})
	defer idp.Close()
	transmitter := signalstest.New(idp, "eu", "https://events.example.com/shop")

	alice := map[string]any{"format": "iss_sub", "iss": "https://idp.example.com", "sub": "alice"}
	good := transmitter.Issue(signalstest.Event{Type: "caep/session-revoked", Subject: alice})
	forged := transmitter.Issue(signalstest.Event{Type: "caep/session-revoked", Subject: alice, Forged: true})

	receiver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set, _ := io.ReadAll(r.Body)
		fmt.Println(r.Header.Get("Content-Type"), len(set) > 0)
		w.WriteHeader(http.StatusAccepted)
	})
	fmt.Println(transmitter.Push(receiver, nil, good, forged))
	// Output:
	// application/secevent+jwt true
	// application/secevent+jwt true
	// [202 202]
}
