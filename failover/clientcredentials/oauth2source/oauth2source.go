// Package oauth2source lets libraries that take a [golang.org/x/oauth2.TokenSource] use tokens of a clientcredentials.Source.
package oauth2source

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// DefaultTimeout is that of Config.
const DefaultTimeout = 10 * time.Second

// Config configures a token source. Source is required.
type Config struct {
	// Source has the tokens. It is a *clientcredentials.Source, made by clientcredentials.New.
	Source interface {
		Token(ctx context.Context) (*clientcredentials.Token, error)
	}

	// Timeout is how long a caller waits for a token, as an oauth2.TokenSource has no context. 0 means 10 seconds.
	Timeout time.Duration
}

// New returns an oauth2.TokenSource, safe for concurrent use, whose tokens are those of c.Source. An error of it is that of
// Source.Token, for errors.Is and errors.As.
//
// The Source keeps the token and replaces it ahead of need, so nothing should keep it once more: use &oauth2.Transport{Source:
// ts}. What oauth2.NewClient and oauth2.ReuseTokenSource add is a mutex that callers wait for without a context, and a token that
// is replaced only when it has expired.
func New(c Config) (oauth2.TokenSource, error) {
	var errs []error
	if err := checkSource(c.Source); err != nil {
		errs = append(errs, fmt.Errorf("oauth2source: %w", err))
	}
	if c.Timeout < 0 {
		errs = append(errs, errors.New("oauth2source: Timeout is negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return &tokenSource{c}, nil
}

// checkSource reports a Source that cannot have tokens: nil, a nil pointer, or one that clientcredentials.New has not made.
func checkSource(s any) error {
	if v := reflect.ValueOf(s); s == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return errors.New("the Source is nil: make it with clientcredentials.New")
	}
	if s, ok := s.(*clientcredentials.Source); ok {
		_, err := s.Transport(clientcredentials.TransportConfig{Origins: []string{"https://localhost"}}) // does no I/O
		return err
	}
	return nil
}

var errNoToken = errors.New("oauth2source: Source returned neither a token nor an error")

type tokenSource struct{ config Config }

// Token implements oauth2.TokenSource. The token's extra "scope" is what was granted.
func (s *tokenSource) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	t, err := s.config.Source.Token(ctx)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errNoToken
	}
	token := &oauth2.Token{AccessToken: t.Value(), TokenType: "Bearer", Expiry: t.Expiry()}
	return token.WithExtra(map[string]any{"scope": strings.Join(slices.Collect(t.Scopes()), " ")}), nil
}
