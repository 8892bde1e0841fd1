package dpop_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// A client signs a proof for each request. Without the nonce of the server, it must sign another one; that proof is accepted,
// once. Set httpauth.Config.DPoP to do this for every request of a server.
func Example() {
	checker, err := dpop.New(dpop.Config{NonceKeys: [][]byte{bytes.Repeat([]byte("secret.."), 4)}}) // use 32 random bytes
	if err != nil {
		fmt.Println(err)
		return
	}

	// The key of the client. The provider binds the token to it: cnf.jkt is its thumbprint.
	b64 := base64.RawURLEncoding.EncodeToString
	client := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	jwk := `{"crv":"Ed25519","kty":"OKP","x":"` + b64(client.Public().(ed25519.PublicKey)) + `"}`
	thumbprint := sha256.Sum256([]byte(jwk))
	raw, token := verified(map[string]any{"jkt": b64(thumbprint[:])})

	hash := sha256.Sum256([]byte(raw))
	prove := func(id, nonce string) *http.Request {
		header := fmt.Sprintf(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":%s}`, jwk)
		claims := fmt.Sprintf(`{"jti":%q,"htm":"GET","htu":"https://api.example.com/orders","iat":%d,"ath":%q,"nonce":%q}`,
			id, time.Now().Unix(), b64(hash[:]), nonce)
		input := b64([]byte(header)) + "." + b64([]byte(claims))
		r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/orders?page=2", nil)
		r.Header.Set("Authorization", "DPoP "+raw)
		r.Header.Set("DPoP", input+"."+b64(ed25519.Sign(client, []byte(input))))
		return r
	}

	check := func(r *http.Request) {
		err := checker.Check(r, "https://api.example.com/orders", token)
		var e *verifier.Error
		if errors.As(err, &e) {
			fmt.Println(e.Reason)
			return
		}
		fmt.Println("accepted")
	}
	check(prove("one", ""))
	request := prove("two", checker.Nonce())
	check(request)
	check(request)
	// Output:
	// nonce_required
	// accepted
	// proof_failed
}

// verified issues and verifies a token with a cnf claim.
func verified(cnf map[string]any) (raw string, t *verifier.Token) {
	world := fakeissuer.New(nil, fakeissuer.Config{Algorithm: "ES256"})
	defer world.Close()
	keys, err := jwks.New([]issuer.Provider{world.Provider()}, jwks.Config{HTTPClient: world.Client()})
	if err != nil {
		panic(err)
	}
	v, err := verifier.New([]verifier.Policy{{
		Provider: world.Provider(), Audience: verifier.CognitoAccess(fakeissuer.ClientID), Algorithms: []string{"ES256"},
	}}, keys, verifier.Config{})
	if err != nil {
		panic(err)
	}
	raw = world.Issue("us-east-1", fakeissuer.Claims{Set: map[string]any{"cnf": cnf}})
	if t, err = v.Verify(context.Background(), raw); err != nil {
		panic(err)
	}
	return raw, t
}
