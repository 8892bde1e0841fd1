package grpccreds_test

import (
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/failover/clientcredentials/grpccreds"
	"github.com/regionjwt/regionjwt/issuer"
)

func Example() {
	source, err := clientcredentials.New(clientcredentials.Config{
		Provider: issuer.Provider{ID: "tenant", Regions: []issuer.Region{
			{Name: "us-east-1", Issuers: []string{"https://east.example.com"}, TokenURL: "https://east.example.com/token"},
			{Name: "us-west-2", Issuers: []string{"https://west.example.com"}, TokenURL: "https://west.example.com/token"},
		}},
		Credentials: map[string]clientcredentials.Credentials{"": {ClientID: "orders", Secret: "from your vault"}},
		Client: &http.Client{Transport: endpoint(func(*http.Request) (int, string, error) { // for this example; leave it out
			return 0, "", errors.New("no network")
		})},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = source.Close() }()
	creds, err := grpccreds.New(grpccreds.Config{Source: source})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.NewClient("dns:///orders.example.com:443",
		grpc.WithTransportCredentials(credentials.NewTLS(nil)), grpc.WithPerRPCCredentials(creds))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	fmt.Println("only over TLS:", creds.RequireTransportSecurity())
	// Output: only over TLS: true
}
