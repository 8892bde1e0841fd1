package clientcredentials_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
)

func Example() {
	world := newWorld()
	pool := issuer.Provider{ID: "tenant", Regions: []issuer.Region{
		{Name: "us-east-1", Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
		{Name: "us-west-2", Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
	}}
	pool.HTTPClient = &http.Client{Transport: world} // for this example; leave it out
	source, err := clientcredentials.New(pool, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "orders", Secret: "from your vault"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	world.set("us-east-1", hang)
	token, err := source.Token(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("a token of", token.Region())

	// Requests to these origins, and to no others, carry it.
	transport, err := source.Transport(nil, "https://api.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: transport}
	defer client.CloseIdleConnections()
	// Output: a token of us-west-2
}
