package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
)

const (
	primary   = "us-east-1"
	secondary = "us-west-2"
	poolID    = primary + "_Testing01"
	clientID  = "demonstration"
	subject   = "0f5b2a6e-0000-4000-8000-00000000c0de"
	readScope = "orders/read"
	ofAlice   = " for alice, who is " + poolID + " " + subject
	shown     = "order 7" + ofAlice
	patience  = 20 * time.Second // for a region that is back to be asked again
)

var unavailable = "failed: " + http.StatusText(http.StatusServiceUnavailable)

// demonstration plays the scenes against one server, with one client.
type demonstration struct {
	out           io.Writer
	idp           *issuertest.Server
	resource      string
	client        *client
	session       *mcp.ClientSession
	checks, wrong int
}

// demonstrate serves on a loopback address, with a fake provider, and plays the scenes.
func demonstrate(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pool := issuer.UserPool{ID: poolID, Replicas: []string{secondary}, Mode: issuer.CognitoOriginal}.Provider()
	d := &demonstration{out: out, idp: issuertest.New(nil, pool, issuertest.Config{ClientID: clientID})}
	defer d.idp.Close()
	d.idp.Serve()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.resource = "http://" + listener.Addr().String() + "/mcp"
	s, err := newServer(config{
		provider: d.idp.Provider(), clients: []string{clientID}, resource: d.resource, scope: readScope,
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	served := make(chan error, 1)
	serving, stop := context.WithCancel(ctx)
	go func() { served <- serve(serving, listener, s.handler, s.validator) }()
	err = d.scenes(ctx)
	stop()
	if err := errors.Join(err, <-served); err != nil {
		return err
	}
	if d.wrong > 0 {
		return fmt.Errorf("%d of %d answers were not as they should be", d.wrong, d.checks)
	}
	_, err = fmt.Fprintf(d.out, "\nAll %d answers were as they should be.\n", d.checks)
	return err
}

func (d *demonstration) scenes(ctx context.Context) error {
	_, _ = fmt.Fprintln(d.out, "MCP server at", d.resource)
	if err := d.discovery(ctx); err != nil {
		return err
	}
	defer func() { _ = d.session.Close() }()
	d.scopes(ctx)
	if err := d.oneLost(ctx); err != nil {
		return err
	}
	d.allLost(ctx)
	return nil
}

// token issues one as an authorization server of the region would, for this resource: RFC 8707.
func (d *demonstration) token(region string, scopes ...string) string {
	return d.idp.Issue(region, issuertest.Claims{
		Subject: subject, Scope: strings.Join(scopes, " "), Set: map[string]any{"aud": d.resource},
	})
}

func (d *demonstration) discovery(ctx context.Context) error {
	d.scene("A client that knows nothing but the address")
	if err := d.connect(ctx); err != nil {
		return err
	}
	d.check("the first answer", d.client.challenge, `401 Bearer scope="`+readScope+`", resource_metadata="`+d.document()+`"`)
	d.check("its metadata names", strings.Join(d.client.servers, " "), d.issuer(primary)+" "+d.issuer(secondary))
	d.check("and the scopes", strings.Join(d.client.scopes, " "), readScope+" "+cancelScope)
	d.call(ctx, showOrder, shown)
	return nil
}

// connect begins a session with a client that has no token yet.
func (d *demonstration) connect(ctx context.Context) error {
	d.client = &client{resource: d.resource, obtain: func(server, scope string) string {
		return d.token(d.regionOf(server), "openid", scope)
	}}
	session, err := mcp.NewClient(&mcp.Implementation{Name: "demonstration", Version: "1"}, nil).
		Connect(ctx, &mcp.StreamableClientTransport{
			Endpoint: d.resource, HTTPClient: &http.Client{}, OAuthHandler: d.client, MaxRetries: -1,
		}, nil)
	if err == nil {
		d.session = session
	}
	return err
}

// document is the URL of the metadata document.
func (d *demonstration) document() string {
	return strings.TrimSuffix(d.resource, "/mcp") + "/.well-known/oauth-protected-resource/mcp"
}

func (d *demonstration) scopes(ctx context.Context) {
	d.scene("What a token does not allow")
	d.call(ctx, cancelOrder, "refused: insufficient_scope: "+cancelScope)
	d.client.put(d.token(secondary, readScope, cancelScope))
	d.note("the same session, with a token of %s that has the scope:", secondary)
	d.call(ctx, cancelOrder, "order 7 is cancelled"+ofAlice)
	d.client.put(d.token(secondary, "openid"))
	d.note("with a token that misses what the server requires of all, until the client gets a better one:")
	d.call(ctx, showOrder, shown)
	d.check("the client was told", d.client.challenge,
		`403 Bearer error="insufficient_scope", scope="`+readScope+`", resource_metadata="`+d.document()+`"`)
}

func (d *demonstration) oneLost(ctx context.Context) error {
	d.scene("The primary region, %s, goes dark, and the pool rotates in a new key", primary)
	d.client.put(d.token(primary, readScope))
	d.idp.Break(primary)
	d.call(ctx, showOrder, shown)
	d.idp.Rotate(secondary)
	d.client.put(d.token(primary, readScope))
	d.note("a token of the dark region, with the new key, which the other one publishes as well:")
	d.call(ctx, showOrder, shown)
	d.client.put(d.token(secondary, readScope))
	d.note("a token of %s, with the same key:", secondary)
	d.call(ctx, showOrder, shown)

	d.scene("Another client that knows nothing but the address")
	_ = d.session.Close()
	await(ctx, func() bool { // the refusal of the dark region may take a moment longer than the answer of the other
		about, err := d.client.metadata(ctx, d.document())
		return err == nil && len(about.AuthorizationServers) > 0 && about.AuthorizationServers[0] == d.issuer(secondary)
	})
	if err := d.connect(ctx); err != nil {
		return err
	}
	d.check("the metadata names", strings.Join(d.client.servers, " "), d.issuer(secondary)+" "+d.issuer(primary))
	d.call(ctx, showOrder, shown)
	return nil
}

func (d *demonstration) allLost(ctx context.Context) {
	d.scene("Both are dark, and a token has a key that nobody here has seen: no verdict, so no 401")
	d.idp.Break(secondary)
	d.idp.Rotate(secondary)
	d.client.put(d.token(secondary, readScope))
	asked := d.client.asked
	d.call(ctx, showOrder, unavailable)
	d.check("tokens the client got for it", strconv.Itoa(d.client.asked-asked), "0")

	d.scene("%s is back; the session never ended", secondary)
	d.idp.Restore(secondary)
	await(ctx, func() bool { return d.answer(ctx, showOrder) == shown })
	d.call(ctx, showOrder, shown)
}

// await asks until the answer is yes, or patience ends; what follows says whether it was in vain.
func await(ctx context.Context, done func() bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil && !done() {
		<-again.C
	}
}

func (d *demonstration) scene(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "\n"+format+"\n", args...)
}

func (d *demonstration) note(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, "  "+format+"\n", args...)
}

func (d *demonstration) check(what, got, want string) {
	d.checks++
	verdict := "ok"
	if got != want {
		d.wrong++
		verdict = "WRONG, should be " + want
	}
	_, _ = fmt.Fprintf(d.out, "  %-30s %s  %s\n", what, got, verdict)
}

// call calls a tool for order 7.
func (d *demonstration) call(ctx context.Context, tool, want string) {
	d.check(tool, d.answer(ctx, tool), want)
}

func (d *demonstration) answer(ctx context.Context, tool string) string {
	result, err := d.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: order{ID: "7"}})
	switch {
	case err != nil && strings.HasSuffix(err.Error(), http.StatusText(http.StatusServiceUnavailable)):
		return unavailable
	case err != nil:
		return "failed: " + err.Error()
	}
	text := ""
	if len(result.Content) == 1 {
		if c, ok := result.Content[0].(*mcp.TextContent); ok {
			text = c.Text
		}
	}
	if result.IsError {
		return "refused: " + text
	}
	return text
}

// issuer is that of a region's authorization server.
func (d *demonstration) issuer(region string) string {
	regions := d.idp.Provider().Regions
	return regions[slices.IndexFunc(regions, func(r issuer.Region) bool { return r.Name == region })].Issuers[0]
}

// regionOf is the region whose authorization server has that issuer.
func (d *demonstration) regionOf(iss string) string {
	if iss == d.issuer(secondary) {
		return secondary
	}
	return primary
}
