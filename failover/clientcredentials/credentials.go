package clientcredentials

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// Credentials authenticate a client: with Key by private_key_jwt (RFC 7523, section 2.2; OpenID Connect Core, section 9),
// otherwise with Secret by client_secret_basic (RFC 6749, section 2.3.1), or client_secret_post if SecretInBody is set.
// Formatted or logged, they show the client ID only; JSON of them has neither secret nor key.
type Credentials struct {
	// ClientID is required.
	ClientID string

	// Secret is the client secret. Either Secret or Key is required. For client_secret_basic, ID and secret are encoded as RFC
	// 6749 demands; if a provider does not decode them, and they contain other characters than letters, digits and "-._", use
	// SecretInBody.
	Secret string `json:"-"`
	// PreviousSecret is another secret that is still valid while Secret is introduced: where a region rejects one of the two with
	// invalid_client, the other one is tried at once, and the one that worked is used first from then on. Optional.
	PreviousSecret string `json:"-"`
	// SecretInBody sends ClientID and Secret in the body of the request.
	SecretInBody bool

	// Key signs assertions: an RSA key of 2048 bits or more, a P-256, P-384 or P-521 key, or an Ed25519 key. It may be kept
	// elsewhere, as in a KMS. Sign must be safe for concurrent use; as it has no context, it has to bound its time itself: its
	// region does not answer until it returns.
	Key crypto.Signer `json:"-"`

	// KeyID is the kid of the assertion's header; optional, with Key only.
	KeyID string

	// Algorithm is the alg of the assertion: RS256, PS256, ES256, ES384, ES512, EdDSA, or Ed25519, which is EdDSA by its name in
	// RFC 9864. "" means RS256 for an RSA key, and what fits for any other key. With Key only.
	Algorithm string

	// Audience is the aud of the assertion. "" means the token endpoint's URL. With Key only.
	Audience string
}

// isZero reports whether nothing of c is set.
func (c Credentials) isZero() bool {
	return !c.SecretInBody && c.Key == nil && c.ClientID+c.Secret+c.PreviousSecret+c.KeyID+c.Algorithm+c.Audience == ""
}

// check returns every problem with c.
//
// Without a Secret and a Key, the certificate of the TLS connection authenticates the client (tls_client_auth or
// self_signed_tls_client_auth of RFC 8705): that needs an HTTP client with one.
func (c Credentials) check(certificate bool) error {
	var errs []error
	add := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New(text))
		}
	}
	add(c.ClientID == "", "a ClientID is required")
	if c.Key == nil {
		add(c.Secret == "" && !certificate, "a Secret, a Key, or a Provider.HTTPClient with a client certificate is required")
		add(c.Secret == "" && c.SecretInBody, "SecretInBody needs a Secret")
		add(c.PreviousSecret != "" && (c.Secret == "" || c.Secret == c.PreviousSecret), "PreviousSecret needs another Secret")
		add(c.KeyID != "" || c.Algorithm != "" || c.Audience != "", "KeyID, Algorithm and Audience need a Key")
		return errors.Join(errs...)
	}
	add(c.Secret != "" || c.PreviousSecret != "" || c.SecretInBody, "Secrets and SecretInBody cannot be used with a Key")
	var err error
	if guard.Apart("Public", func() { _, err = c.scheme() }) != nil {
		err = errors.New("the Key has no public key")
	}
	if err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// newRequest returns a request for a token from target.
func (c Credentials) newRequest(ctx context.Context, target string, values url.Values) (*http.Request, error) {
	values = maps.Clone(values)
	switch {
	case c.Key != nil:
		assertion, err := c.assertion(target)
		if err != nil {
			return nil, err
		}
		values.Set("client_id", c.ClientID)
		values.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		values.Set("client_assertion", assertion)
	case c.SecretInBody:
		values.Set("client_id", c.ClientID)
		values.Set("client_secret", c.Secret)
	case c.Secret == "":
		values.Set("client_id", c.ClientID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if c.Key == nil && !c.SecretInBody && c.Secret != "" {
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.Secret))
	}
	return req, nil
}

func (c Credentials) text() string { return fmt.Sprintf("credentials of client %q", c.ClientID) }

// Format implements fmt.Formatter: every verb writes the client ID only.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.text()) }
