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
	"time"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

// A client signs a proof for each request. Without the nonce of the server it is told to make another one; then it is
// accepted, once.
func Example() {
	nonces, err := dpop.NewNonces(dpop.NonceConfig{Keys: [][]byte{bytes.Repeat([]byte("secret.."), 4)}})
	if err != nil {
		fmt.Println(err)
		return
	}
	checker, err := dpop.New(dpop.Config{Nonces: nonces})
	if err != nil {
		fmt.Println(err)
		return
	}

	// The client's key. The issuer bound the token to it: the claim cnf.jkt is its thumbprint.
	b64 := base64.RawURLEncoding.EncodeToString
	client := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	jwk := `{"crv":"Ed25519","kty":"OKP","x":"` + b64(client.Public().(ed25519.PublicKey)) + `"}`
	jkt := sha256.Sum256([]byte(jwk))
	const token = "eyJ0eXAi.eyJjbmYi.c2lnbmF0"
	hash := sha256.Sum256([]byte(token))
	prove := func(id, nonce string) dpop.Proof {
		header := fmt.Sprintf(`{"typ":"dpop+jwt","alg":"EdDSA","jwk":%s}`, jwk)
		claims := fmt.Sprintf(`{"jti":%q,"htm":"GET","htu":"https://api.example.com/orders","iat":%d,"ath":%q,"nonce":%q}`,
			id, time.Now().Unix(), b64(hash[:]), nonce)
		input := b64([]byte(header)) + "." + b64([]byte(claims))
		proof := input + "." + b64(ed25519.Sign(client, []byte(input)))
		return dpop.Proof{
			Values: []string{proof}, Method: http.MethodGet, URL: "https://api.example.com/orders?page=2",
			Token: token, Thumbprint: b64(jkt[:]),
		}
	}

	ctx := context.Background()
	show := func(err error) {
		var e *verifier.Error
		if errors.As(err, &e) {
			fmt.Println(e.Reason)
			return
		}
		fmt.Println("accepted")
	}
	show(checker.Check(ctx, prove("one", "")))
	proof := prove("two", checker.Nonce())
	show(checker.Check(ctx, proof))
	show(checker.Check(ctx, proof))
	// Output:
	// nonce_required
	// accepted
	// invalid_proof
}
