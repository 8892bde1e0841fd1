// Package oauth2_test shows machine tokens in libraries that take a token source of golang.org/x/oauth2, and compares the two.
package oauth2_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

// endpoints answer in place of the network: the east is lost, the west issues tokens, and an API tells what it was sent.
type endpoints struct{}

func (endpoints) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := func(status int, body string) (*http.Response, error) {
		header := http.Header{"Content-Type": {"application/json"}}
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
	}
	switch req.URL.Host {
	case "west.example.com":
		return answer(http.StatusOK, `{"access_token":"token-of-the-west","token_type":"Bearer","expires_in":3600}`)
	case "api.example.com":
		return answer(http.StatusOK, req.Header.Get("Authorization"))
	}
	return answer(http.StatusServiceUnavailable, `{}`)
}

// tokens is an oauth2.TokenSource. It has no context, so it waits for 10 seconds at most. Use it with an oauth2.Transport, as
// below: oauth2.NewClient and oauth2.ReuseTokenSource would keep the token a second time, behind a lock, and replace it only
// when it has expired.
type tokens struct{ *clientcredentials.TokenSource }

// Token implements oauth2.TokenSource.
func (t tokens) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	token, err := t.TokenSource.Token(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token.Value(), TokenType: "Bearer", Expiry: token.Expiry()}, nil
}

func Example() {
	pool := issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
		{Name: "us-west-2", Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
	}}
	pool.HTTPClient = &http.Client{Transport: endpoints{}} // for this example; leave it out
	source, err := clientcredentials.New(pool, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "orders", Secret: "from your vault"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &oauth2.Transport{Source: tokens{source}, Base: endpoints{}}}
	resp, err := client.Get("https://api.example.com/orders")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	sent, err := io.ReadAll(resp.Body)
	fmt.Println(string(sent), err)
	// Output: Bearer token-of-the-west <nil>
}
