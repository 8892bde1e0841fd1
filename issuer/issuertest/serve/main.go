// Serve is a fake identity provider for local development: key sets, discovery documents and token endpoints of two regions, on
// fixed loopback ports, with keys that stay the same. It prints what to configure: iss, JWKS URLs, aud and the provider ID. It
// authenticates nobody: do not let others reach it.
//
//	go run github.com/regionjwt/regionjwt/issuer/issuertest/serve
//	go run github.com/regionjwt/regionjwt/issuer/issuertest/serve -region eu=127.0.0.1:9101 -audience https://orders.example
//
//	curl -d grant_type=client_credentials -d client_id=worker http://127.0.0.1:9001/token
//	curl -X POST http://127.0.0.1:9000/break/us-east-1      # also hang, restore, rotate
//	curl -X POST http://127.0.0.1:9000/token/us-east-1?sub=alice\&scope=orders/read
package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	var regions list
	flag.Var(&regions, "region", "`NAME=HOST:PORT` of a region, repeatable (us-east-1=127.0.0.1:9001, us-west-2=127.0.0.1:9002)")
	control := flag.String("control", "127.0.0.1:9000", "`address` of the requests that break regions and issue tokens")
	id := flag.String("id", "local", "`ID` of the provider")
	audience := flag.String("audience", "https://api.example.com", "`aud` of access tokens")
	seed := flag.String("seed", "local", "`text` from which the keys are made: the same text makes the same keys")
	flag.Parse()
	if len(regions) == 0 {
		regions = list{"us-east-1=127.0.0.1:9001", "us-west-2=127.0.0.1:9002"}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, regions, *control, *id, *audience, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, regions []string, control, id, audience, seed string) error {
	p := issuer.Provider{ID: id}
	config := issuertest.Config{
		Algorithm: "EdDSA", Audience: audience, Addresses: map[string]string{}, Keys: map[string]crypto.Signer{},
	}
	for _, text := range regions {
		name, address, ok := strings.Cut(text, "=")
		if _, _, err := net.SplitHostPort(address); !ok || name == "" || err != nil {
			return fmt.Errorf("-region %q is not NAME=HOST:PORT", text)
		}
		base := "http://" + address
		p.Regions = append(p.Regions, issuer.Region{
			Name: name, Issuers: []string{base}, JWKSURLs: []string{base + "/.well-known/jwks.json"}, TokenURL: base + "/token",
		})
		sum := sha256.Sum256([]byte(seed + "\n" + name))
		config.Addresses[name], config.Keys[name] = address, ed25519.NewKeyFromSeed(sum[:])
	}
	idp := issuertest.New(nil, p, config)
	defer idp.Close()
	idp.Serve()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", control)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: commands(idp, p), ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	for _, r := range idp.Provider().Regions {
		fmt.Printf("%s: iss %s, keys %s, tokens %s\n", r.Name, r.Issuers[0], r.JWKSURLs[0], r.TokenURL)
	}
	fmt.Printf("provider: ID %s, aud of access tokens %s\n", id, audience)
	fmt.Printf("control: POST http://%s/{break,hang,restore,rotate,token}/REGION\n", l.Addr())
	if err := s.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// commands answers the requests that break regions and issue tokens.
func commands(idp *issuertest.Server, p issuer.Provider) http.Handler {
	mux := http.NewServeMux()
	of := func(name string, do func(w http.ResponseWriter, r *http.Request, region string)) {
		mux.HandleFunc("POST /"+name+"/{region}", func(w http.ResponseWriter, r *http.Request) {
			for _, one := range p.Regions {
				if one.Name == r.PathValue("region") {
					do(w, r, one.Name)
					return
				}
			}
			http.Error(w, "there is no such region", http.StatusNotFound)
		})
	}
	for name, do := range map[string]func(string){
		"break": idp.Break, "hang": idp.Hang, "restore": idp.Restore, "rotate": idp.Rotate,
	} {
		of(name, func(w http.ResponseWriter, _ *http.Request, region string) {
			do(region)
			w.WriteHeader(http.StatusNoContent)
		})
	}
	of("token", func(w http.ResponseWriter, r *http.Request, region string) {
		_, _ = fmt.Fprintln(w, idp.Issue(region, issuertest.Claims{Subject: r.FormValue("sub"), Scope: r.FormValue("scope")}))
	})
	return mux
}
