package clientcredentials_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
)

// Hostile and odd answers with status 200: what has no token sends the flight to the next region, and nothing of it is repeated.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const rest = `"token_type":"Bearer","expires_in":60`
	for name, c := range map[string]struct {
		reply reply
		life  time.Duration // of the token; 0: none
	}{
		"plain":             {reply{body: `{"access_token":"eA-._~+/b==",` + rest + `}`}, time.Minute},
		"any case":          {reply{body: `{"access_token":"x","token_type":"bEARER","expires_in":60}`}, time.Minute},
		"no expires_in":     {reply{body: `{"access_token":"x","token_type":"Bearer"}`}, time.Minute},
		"a fraction":        {reply{body: `{"access_token":"x","token_type":"Bearer","expires_in":6.05e1}`}, 60500 * ms},
		"for ever":          {reply{body: `{"access_token":"x","token_type":"Bearer","expires_in":1e999}`}, 24 * time.Hour},
		"more members":      {reply{body: `{"access_token":"x","refresh_token":"y","scope":"a b",` + rest + `}`}, time.Minute},
		"JSON of a kind":    {reply{media: "application/vnd.x+json", body: `{"access_token":"x",` + rest + `}`}, time.Minute},
		"another case":      {reply: reply{body: `{"Access_Token":"s3cret",` + rest + `}`}},
		"twice":             {reply: reply{body: `{"access_token":"s3cret","access_token":"x",` + rest + `}`}},
		"twice, escaped":    {reply: reply{body: `{"access_token":"s3cret","access_toke\u006e":"x",` + rest + `}`}},
		"mac":               {reply: reply{body: `{"access_token":"s3cret","token_type":"mac","expires_in":60}`}},
		"no type":           {reply: reply{body: `{"access_token":"s3cret","expires_in":60}`}},
		"negative":          {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":-60}`}},
		"zero":              {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":0}`}},
		"expires as text":   {reply{body: `{"access_token":"x","token_type":"Bearer","expires_in":"3599"}`}, 3599 * time.Second},
		"expires null":      {reply{body: `{"access_token":"x","token_type":"Bearer","expires_in":null}`}, time.Minute},
		"expires as words":  {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":"soon"}`}},
		"expires at NaN":    {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":"NaN"}`}},
		"expires in Inf":    {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":"Inf"}`}},
		"expires in 0x10":   {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":"0x10"}`}},
		"expires in \"\"":   {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":""}`}},
		"expires in \"0\"":  {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":"0"}`}},
		"expires in \"-1\"": {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":"-1"}`}},
		"expires true":      {reply: reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":true}`}},
		"Salesforce":        {reply{body: `{"access_token":"00D!AQ.x_y","token_type":"Bearer","instance_url":"https://x"}`}, time.Minute},
		"token with spaces": {reply: reply{body: `{"access_token":"s3 cret",` + rest + `}`}},
		"token in Unicode":  {reply: reply{body: `{"access_token":"s3crét",` + rest + `}`}},
		"scopes in a list":  {reply{body: `{"access_token":"x","scope":["a","b"],` + rest + `}`}, time.Minute},
		"scope of numbers":  {reply: reply{body: `{"access_token":"s3cret","scope":1,` + rest + `}`}},
		"no token":          {reply: reply{body: `{` + rest + `}`}},
		"empty token":       {reply: reply{body: `{"access_token":"",` + rest + `}`}},
		"token of a number": {reply: reply{body: `{"access_token":1,` + rest + `}`}},
		"header injection":  {reply: reply{body: `{"access_token":"s3cret\r\nX: y",` + rest + `}`}},
		"padding only":      {reply: reply{body: `{"access_token":"==",` + rest + `}`}},
		"array":             {reply: reply{body: `[{"access_token":"s3cret",` + rest + `}]`}},
		"trailing":          {reply: reply{body: `{"access_token":"s3cret",` + rest + `}{}`}},
		"html":              {reply: reply{media: "text/html", body: `{"access_token":"s3cret",` + rest + `}`}},
		"text":              {reply: reply{media: "text/plain", body: `{"access_token":"s3cret",` + rest + `}`}},
		"a form":            {reply: reply{media: "application/x-www-form-urlencoded", body: `access_token=s3cret&token_type=Bearer`}},
		"huge":              {reply: reply{body: `{"access_token":"s3cret",` + rest + `}` + strings.Repeat(" ", 64<<10)}},
		"201":               {reply: reply{status: 201, body: `{"access_token":"s3cret",` + rest + `}`}},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			s := w.source(t, nil)
			w.set(east, c.reply)
			w.set(west, status(503))
			if c.life == 0 {
				err := requireError(t, s, clientcredentials.ErrUnavailable)
				want := "malformed"
				if name == "huge" {
					want = "too_large"
				}
				if c.reply.status != 0 {
					want = "status 201"
				}
				require.Equal(t, "clientcredentials: no region answers; region us-east-1: "+want+"; region us-west-2: status 503", err.Error(), name)
				return
			}
			tok, err := s.Token(t.Context())
			require.NoError(t, err, name)
			require.Equal(t, c.life, time.Until(tok.Expiry()), name)
		})
	}
}

// The codes of refusals are a closed list.
func TestCodes(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"invalid_request": "invalid_request", "invalid_client": "invalid_client", "invalid_grant": "invalid_grant",
		"unauthorized_client": "unauthorized_client", "unsupported_grant_type": "unsupported_grant_type",
		"invalid_scope": "invalid_scope", "invalid_target": "invalid_target", "s3cret": "other", "INVALID_CLIENT": "other", "": "other",
	} {
		synctest.Test(t, func(t *testing.T) { // a slow machine must not seem to be a silent region
			w := newWorld()
			s := w.source(t, nil)
			w.set(east, verdict(code))
			err := requireError(t, s, clientcredentials.ErrRejected)
			require.EqualError(t, err, "clientcredentials: region us-east-1: rejected "+want)
		})
	}
}

// Neither a token nor credentials tell themselves, however they are printed.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&out, nil))
		w := newWorld()
		var config setup
		s := w.source(t, func(c *setup) {
			c.Logger = log
			c.OnRequest = func(region, failure string, took time.Duration) { log.Info("request", region, failure, "took", took) }
			config = *c
		})
		w.set(east, reply{body: `{"access_token":"s3cret","token_type":"Bearer","expires_in":60}`})
		tok := have(t, s, east, 0)
		synctest.Wait()
		require.Equal(t, "s3cret", tok.Value())
		require.Equal(t, "token of us-east-1 until 2000-01-01T00:01:00Z", fmt.Sprint(tok))
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, format, tok)
			fmt.Fprintf(&out, format, config.Credentials)
			fmt.Fprintf(&out, format, []any{tok, config.Credentials})
		}
		text, err := json.Marshal([]any{tok, config.Credentials})
		require.NoError(t, err)
		out.Write(text)
		log.Info("x", "token", tok, "credentials", config.Credentials)
		w.set(east, reply{status: 503, body: "s3cret", header: map[string]string{"Retry-After": "s3cret"}})
		time.Sleep(time.Hour)
		have(t, s, west, 0)
		time.Sleep(time.Hour)
		w.set(east, verdict("s3cret"))
		_ = requireError(t, s, clientcredentials.ErrRejected)
		synctest.Wait()
		printed := out.String()
		require.NotContains(t, printed, "s3cret")
		require.NotContains(t, printed, "733363726574") // in %x
		for _, line := range []string{
			`"msg":"token request failed","region":"us-east-1","failure":"status 503"`,
			`"msg":"tokens come from another region","from":"us-east-1","region":"us-west-2"`,
			`"msg":"token request recovered","region":"us-east-1"`,
			`"msg":"token request rejected","region":"us-east-1","failure":"rejected other","status":401`,
		} {
			require.Equal(t, 1, strings.Count(printed, line), line)
		}
	})
}

// What goes wrong on the way has a name, and no word of the other side's.
func TestNetworkErrors(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"dns":     &net.OpError{Op: "dial", Err: &net.DNSError{Err: "s3cret", Name: "east.example.com", IsNotFound: true}},
		"tls":     &tls.CertificateVerificationError{Err: errors.New("s3cret")},
		"timeout": &net.DNSError{Err: "s3cret", IsTimeout: true},
		"network": errors.New("s3cret"),
	} {
		w := newWorld()
		s := w.source(t, nil)
		w.set(east, reply{err: err})
		w.set(west, reply{err: err})
		failed := requireError(t, s, clientcredentials.ErrUnavailable)
		require.Equal(t, fmt.Sprintf("clientcredentials: no region answers; region us-east-1: %s; region us-west-2: %[1]s", want), failed.Error())
	}
}
