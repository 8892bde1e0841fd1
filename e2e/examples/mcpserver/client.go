package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"
)

// client is an OAuthHandler of the SDK's client. It asks the first authorization server that the metadata of the resource
// names for a token with the scope that the challenge names.
type client struct {
	resource string
	obtain   func(server, scope string) (token string)

	mu              sync.Mutex
	token           string
	asked           int    // how often it had to get a token
	challenge       string // of the last refusal
	servers, scopes []string
}

func (c *client) put(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// TokenSource returns the token, or nil where there is none yet.
func (c *client) TokenSource(context.Context) (oauth2.TokenSource, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == "" {
		return nil, nil
	}
	return oauth2.StaticTokenSource(&oauth2.Token{AccessToken: c.token}), nil
}

// Authorize gets a token that the resource will take: RFC 9728, section 5.
func (c *client) Authorize(ctx context.Context, _ *http.Request, resp *http.Response) error {
	defer func() { _ = resp.Body.Close() }()
	header := resp.Header.Values("WWW-Authenticate")
	challenges, err := oauthex.ParseWWWAuthenticate(header)
	if err != nil {
		return err
	}
	if len(challenges) != 1 || len(header) != 1 {
		return errors.New("there is not one challenge")
	}
	parameters := challenges[0].Params
	about, err := c.metadata(ctx, parameters["resource_metadata"])
	if err != nil {
		return err
	}
	if len(about.AuthorizationServers) == 0 {
		return errors.New("the metadata names no authorization server")
	}
	scope := parameters["scope"]
	if scope == "" && len(about.ScopesSupported) > 0 {
		scope = about.ScopesSupported[0]
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	c.challenge = fmt.Sprint(resp.StatusCode, " ", header[0])
	c.servers, c.scopes = about.AuthorizationServers, about.ScopesSupported
	c.token = c.obtain(about.AuthorizationServers[0], scope)
	return nil
}

// metadata gets the metadata document of the resource.
func (c *client) metadata(ctx context.Context, url string) (*oauthex.ProtectedResourceMetadata, error) {
	return oauthex.GetProtectedResourceMetadata(ctx, url, c.resource, &http.Client{})
}
