// Outage shows the library's main job in one command, in memory, within seconds: a provider in two regions, a service
// behind the middleware, users and machines with tokens of both regions, and the primary region lost and returned.
//
//	go run ./examples/outage
//
// It exits with status 1 if anything is not as it should be.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	primary   = "us-east-1"
	secondary = "us-west-2"
)

var pool = issuer.UserPool{
	ID: primary + "_Testing01", Replicas: []string{secondary}, Mode: issuer.CognitoOriginal,
}.Provider()

func main() {
	story := &story{out: os.Stdout, fetches: map[string]int{}}
	if err := story.tell(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "outage:", err)
		os.Exit(1)
	}
	if story.wrong > 0 {
		fmt.Fprintf(os.Stderr, "outage: %d answers were not as they should be\n", story.wrong)
		os.Exit(1)
	}
	_, _ = fmt.Fprintf(story.out, "\nAll %d answers were as they should be.\n", story.asked)
}

// story plays the scenes against one service.
type story struct {
	out          io.Writer
	idp          *issuertest.Server
	other        *issuertest.Server // has keys that idp does not publish
	service      string             // URL of the handler
	fetches      map[string]int     // by region, from all instances
	counting     sync.Mutex
	asked, wrong int
}

func (s *story) tell(ctx context.Context) error {
	s.idp = issuertest.New(nil, pool, issuertest.Config{})
	defer s.idp.Close()
	s.idp.Serve()
	s.other = issuertest.New(nil, pool, issuertest.Config{})
	defer s.other.Close()
	first, stop, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	s.service = first
	s.firstAct()
	second, stopSecond, err := s.start(ctx)
	if err != nil {
		return err
	}
	defer stopSecond()
	s.service = second
	s.secondAct()
	s.service = first
	s.thirdAct()
	return nil
}

// start runs the service: a handler behind httpauth on a loopback port.
func (s *story) start(ctx context.Context) (url string, stop func(), err error) {
	v, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{s.idp.Policy()},
		Keys:     jwks.Config{OnFetch: s.count},
	})
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /orders", httpauth.Require(v, middleware.Scopes("orders/read"))(http.HandlerFunc(orders)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = v.Run(ctx) }()
	return "http://" + listener.Addr().String() + "/orders", func() {
		_ = server.Close()
		cancel()
		<-ended
	}, nil
}

func orders(w http.ResponseWriter, r *http.Request) {
	token := verifier.FromContext(r.Context())
	_, _ = fmt.Fprintf(w, "issued in %s", strings.Join(token.Regions(), " or "))
}

// count counts a request for keys.
func (s *story) count(f jwks.Fetch) {
	s.counting.Lock()
	defer s.counting.Unlock()
	s.fetches[f.Region]++
}

// The tokens that the scenes present.
var (
	user     = issuertest.Claims{}
	machine  = issuertest.Claims{Subject: "billing", Set: map[string]any{"username": nil, "auth_time": nil}}
	expired  = issuertest.Claims{ExpiresIn: -time.Hour, Set: map[string]any{"iat": time.Now().Add(-2 * time.Hour).Unix()}}
	identity = issuertest.Claims{IDToken: true}
	forged   = issuertest.Claims{Forged: true}
)

func (s *story) firstAct() {
	s.scene("Both regions are up")
	s.ask("user token", primary, user, http.StatusOK)
	s.ask("user token", secondary, user, http.StatusOK)
	s.ask("machine token", primary, machine, http.StatusOK)
	s.ask("machine token", secondary, machine, http.StatusOK)

	s.scene("The primary region, %s, does not answer", primary)
	s.idp.Break(primary)
	s.ask("user token", primary, user, http.StatusOK)
	s.ask("user token", secondary, user, http.StatusOK)
	s.ask("machine token", secondary, machine, http.StatusOK)

	s.scene("The secondary region, %s, rotates in a new key", secondary)
	s.idp.Rotate(secondary)
	s.ask("token of the new key", secondary, user, http.StatusOK)
	s.ask("another one", secondary, user, http.StatusOK)

	s.scene("Tokens that must not pass")
	s.ask("forged token", secondary, forged, http.StatusUnauthorized)
	s.ask("expired token", secondary, expired, http.StatusUnauthorized)
	s.ask("ID token", secondary, identity, http.StatusUnauthorized)
	s.ask("without the scope", secondary, issuertest.Claims{Scope: "openid"}, http.StatusForbidden)
}

func (s *story) secondAct() {
	s.scene("Another instance of the service starts while %s does not answer", primary)
	s.ask("user token", secondary, user, http.StatusOK)
	s.ask("user token", primary, user, http.StatusOK)
	s.scene("A key that only the lost region could know: no verdict, so no 401")
	s.present("unknown key ID", primary, s.other.Issue(primary, user), http.StatusServiceUnavailable)
	s.scene("A key that the other region has said it does not have")
	s.present("unknown key ID", secondary, s.other.Issue(secondary, user), http.StatusUnauthorized)
}

func (s *story) thirdAct() {
	s.scene("The primary region returns")
	s.idp.Restore(primary)
	s.ask("user token", primary, user, http.StatusOK)
	s.ask("user token", secondary, user, http.StatusOK)
	s.counting.Lock()
	defer s.counting.Unlock()
	_, _ = fmt.Fprintf(s.out, "\nRequests for keys: %s %d, %s %d\n", primary, s.fetches[primary], secondary, s.fetches[secondary])
}

func (s *story) scene(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, "\n"+format+"\n", args...)
}

// ask presents a token of a region and compares the answer with what it should be.
func (s *story) ask(what, region string, c issuertest.Claims, want int) {
	s.present(what, region, s.idp.Issue(region, c), want)
}

func (s *story) present(what, region, token string, want int) {
	s.asked++
	began := time.Now()
	status, body, err := s.get(token)
	took := time.Since(began)
	verdict := "ok"
	if err != nil || status != want {
		s.wrong++
		verdict = fmt.Sprintf("WRONG, should be %d (%v)", want, err)
	}
	_, _ = fmt.Fprintf(s.out, "  %-22s of %-10s %d %-38s %7.2f ms  %s\n",
		what, region, status, body, float64(took.Microseconds())/1000, verdict)
}

func (s *story) get(token string) (status int, body string, err error) {
	req, err := http.NewRequest(http.MethodGet, s.service, nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimSpace(string(text)), err
}
