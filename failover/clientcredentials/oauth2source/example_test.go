package oauth2source_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/failover/clientcredentials/oauth2source"
	"github.com/regionjwt/regionjwt/issuer"
)

// endpoints answer in place of the network: the east is lost, the west mints tokens, and an API says what it was sent.
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

func Example() {
	source, err := clientcredentials.New(clientcredentials.Config{
		Provider: issuer.Provider{ID: "tenant", Regions: []issuer.Region{
			{Name: "us-east-1", Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
			{Name: "us-west-2", Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
		}},
		Credentials: map[string]clientcredentials.Credentials{"": {ClientID: "orders", Secret: "from your vault"}},
		Client:      &http.Client{Transport: endpoints{}}, // for this example; leave it out
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = source.Close() }()
	tokens, err := oauth2source.New(oauth2source.Config{Source: source})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: &oauth2.Transport{Source: tokens, Base: endpoints{}}}
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
