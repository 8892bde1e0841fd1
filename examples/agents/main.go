// Agents tells the story of an agent that acts for a user, in memory, in less than a second: the agent exchanges the user's token
// for one that names both, calls a tool of an MCP server with it, goes on when a region is lost, and is revoked, while the user
// is still served.
//
//	go run ./examples/agents
//
// It exits with status 1 if anything is not as it should be.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/middleware"
	"github.com/regionjwt/regionjwt/middleware/httpauth"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

const (
	primary   = "us-east-1"
	secondary = "us-west-2"
	server    = "https://tools.example/mcp"
	agent     = "travel-agent"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "agents:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	idp := provider()
	defer idp.Close()
	validator, err := regionjwt.New(regionjwt.Config{
		Policies: []verifier.Policy{idp.Policy()}, Revocation: &revocation.Config{},
	})
	if err != nil {
		return err
	}
	tools, err := mcp(validator)
	if err != nil {
		return err
	}
	machine, err := clientcredentials.New(idp.Provider(), clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: agent, Secret: "not a secret"},
	})
	if err != nil {
		return err
	}
	user := idp.Issue(primary, issuertest.Claims{Subject: "alice", Scope: "orders/read orders/write"})
	acting := func() (string, error) { return actFor(ctx, machine, user) }
	itself := func() (string, error) { return user, nil }
	for _, step := range []struct {
		scene string
		do    func() error
		token func() (string, error)
		want  string
	}{
		{"The agent acts for alice", nil, acting, "200 orders of alice, read by " + agent},
		{"A region is lost", func() error { idp.Break(primary); return nil }, acting, "200 orders of alice, read by " + agent},
		{"The agent is revoked", func() error {
			_, err := validator.Revocation().Add(ctx, revocation.Rule{Provider: idp.Provider().ID, Actor: agent, Note: "INC-9"})
			return err
		}, acting, "401"},
		{"Alice is still served", nil, itself, "200 orders of alice, read by herself"},
	} {
		if step.do != nil {
			if err := step.do(); err != nil {
				return err
			}
		}
		token, err := step.token()
		if err != nil {
			return err
		}
		got := call(ctx, tools, token)
		_, _ = fmt.Fprintf(out, "%s: %s\n", step.scene, got)
		if got != step.want {
			return fmt.Errorf("%s: want %s", step.scene, step.want)
		}
	}
	return nil
}

// provider is a provider of two regions.
func provider() *issuertest.Server {
	p := issuer.Provider{ID: "shop"}
	for _, region := range []string{primary, secondary} {
		base := "https://" + region + ".idp.example"
		p.Regions = append(p.Regions, issuer.Region{
			Name: region, Issuers: []string{base}, JWKSURLs: []string{base + "/keys"}, TokenURL: base + "/token",
		})
	}
	return issuertest.New(nil, p, issuertest.Config{Algorithm: "ES256", Audience: server})
}

// actFor exchanges the token of a user for one with which the agent acts, at the region that answers.
func actFor(ctx context.Context, machine *clientcredentials.TokenSource, user string) (string, error) {
	own, err := machine.Token(ctx)
	if err != nil {
		return "", err
	}
	token, err := machine.Exchange(ctx, clientcredentials.Exchange{
		SubjectToken: user, ActorToken: own.Value(), Scopes: []string{"orders/read"}, // less than the user may do
		Params: map[string][]string{"resource": {server}},
	})
	if err != nil {
		return "", err
	}
	return token.Value(), nil
}

// mcp is an MCP server with one tool, as far as its tokens are concerned: e2e/examples/mcpserver is a whole one.
func mcp(v *regionjwt.Validator) (http.Handler, error) {
	auth, err := httpauth.New(v, httpauth.Config{Metadata: &httpauth.Metadata{
		Resource: server, AuthorizationServers: func() []string {
			return []string{"https://" + primary + ".idp.example", "https://" + secondary + ".idp.example"}
		}, Scopes: []string{"orders/read"},
	}})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle(auth.ResourceMetadata())
	mux.Handle("POST /mcp", auth.Require(middleware.Scopes("orders/read"))(http.HandlerFunc(orders)))
	return mux, nil
}

// orders is the tool.
func orders(w http.ResponseWriter, r *http.Request) {
	var call struct {
		ID int `json:"id"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&call); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	token := verifier.FromContext(r.Context())
	by := "herself"
	if actor := token.Actor(); actor != nil {
		by = actor.Subject
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": call.ID, "result": map[string]any{
		"content": []map[string]string{{"type": "text", "text": "orders of " + token.Subject() + ", read by " + by}},
	}})
}

// call calls the tool, and returns the status and the text.
func call(ctx context.Context, tools http.Handler, token string) string {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"orders"}}`
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", bytes.NewReader([]byte(body)))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	tools.ServeHTTP(w, r)
	var answer struct {
		Result struct {
			Content []struct{ Text string }
		}
	}
	if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &answer) != nil || len(answer.Result.Content) != 1 {
		return strconv.Itoa(w.Code)
	}
	return fmt.Sprint(w.Code, " ", answer.Result.Content[0].Text)
}
