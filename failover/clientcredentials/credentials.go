package clientcredentials

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// AuthMethod is how a client proves itself to the token endpoint: OpenID Connect Core, section 9.
type AuthMethod int

// The methods; the zero AuthMethod is ClientSecretBasic.
const (
	ClientSecretBasic AuthMethod = iota // client_secret_basic: RFC 6749, section 2.3.1
	ClientSecretPost                    // client_secret_post, where an issuer does not know ClientSecretBasic
	PrivateKeyJWT                       // private_key_jwt: RFC 7523, section 2.2; OpenID Connect Core, section 9
)

// Credentials are what a client proves itself with. Formatted or logged, they tell the client ID only; JSON of them holds neither
// secret nor key.
type Credentials struct {
	// ClientID is required.
	ClientID string

	// Method is ClientSecretBasic unless set, which encodes ID and secret as RFC 6749, section 2.3.1, has it; where an issuer
	// does not decode them, and they hold other characters than letters, digits and "-._", ClientSecretPost works.
	Method AuthMethod

	// Secret is for ClientSecretBasic and ClientSecretPost.
	Secret string `json:"-"`

	// Key signs for PrivateKeyJWT: an RSA key of 2048 bits or more, a P-256, P-384 or P-521 key, or an Ed25519 key. It may be
	// kept elsewhere, as in a KMS. Sign must be safe for concurrent use; as it takes no context, it has to bound its time itself:
	// its region counts as silent while it does not return, and Close waits for it.
	Key crypto.Signer `json:"-"`

	// KeyID is the kid of the assertion's header; optional.
	KeyID string

	// Algorithm is the alg of the assertion: RS256, PS256, ES256, ES384, ES512, EdDSA, or Ed25519, which is EdDSA by its name of
	// RFC 9864. "" means RS256 for an RSA key, and what fits any other key.
	Algorithm string

	// Audience is the aud of the assertion. "" means the token endpoint's URL.
	Audience string
}

// check reports everything that is wrong with c.
func (c Credentials) check() error {
	var errs []error
	if c.ClientID == "" {
		errs = append(errs, errors.New("a ClientID is required"))
	}
	switch c.Method {
	case ClientSecretBasic, ClientSecretPost:
		if c.Secret == "" {
			errs = append(errs, errors.New("a Secret is required"))
		}
		if c.Key != nil || c.KeyID != "" || c.Algorithm != "" || c.Audience != "" {
			errs = append(errs, errors.New("only PrivateKeyJWT has a Key, KeyID, Algorithm and Audience"))
		}
	case PrivateKeyJWT:
		if c.Secret != "" {
			errs = append(errs, errors.New("a Secret is not for PrivateKeyJWT"))
		}
		var err error
		if guard.Call("Public", func() { _, err = c.scheme() }) != nil {
			err = errors.New("the Key has no public key")
		}
		if err != nil {
			errs = append(errs, err)
		}
	default:
		errs = append(errs, errors.New("no such Method"))
	}
	return errors.Join(errs...)
}

// newRequest returns a request for a token from target.
func (c Credentials) newRequest(ctx context.Context, target string, values url.Values) (*http.Request, error) {
	values = maps.Clone(values)
	switch c.Method {
	case ClientSecretBasic: // below
	case ClientSecretPost:
		values.Set("client_id", c.ClientID)
		values.Set("client_secret", c.Secret)
	case PrivateKeyJWT:
		assertion, err := c.assertion(target)
		if err != nil {
			return nil, err
		}
		values.Set("client_id", c.ClientID)
		values.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		values.Set("client_assertion", assertion)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if c.Method == ClientSecretBasic {
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.Secret))
	}
	return req, nil
}

// String returns the client ID.
func (c Credentials) String() string { return fmt.Sprintf("credentials of client %q", c.ClientID) }

// Format implements fmt.Formatter: every verb writes String.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements slog.LogValuer.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }
