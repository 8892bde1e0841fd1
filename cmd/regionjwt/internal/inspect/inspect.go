// Package inspect has the command inspect: what a token is, and whether a service would accept it.
package inspect

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// maxInput is how many bytes of standard input are read.
const maxInput = limit.MaxTokenBytes

// Command is inspect.
func Command() cli.Command {
	return cli.Command{
		Name: "inspect", Short: "say what a token is, and whether it would be accepted",
		Long: `
Reads one token from standard input, and from nowhere else, and writes its header and its claims. It never writes the signature.
With --config, or with --user-pool and --client-id, or --issuer and --audience, it makes the checks of a service with this
configuration, in their order. If one rejects the token, it says what was wanted and what was found. The other flags about tokens
are the fields of verifier.Policy. Without --fetch and without a file of keys it can tell that a token would be rejected, but not
that it would be accepted. With --fetch it fetches the keys of every region, checks the signature, names the key's thumbprint and
the regions that may have issued the token, and with --store asks the rules. With --jwks FILE it checks the signature without a
network.

  regionjwt inspect < token
  regionjwt inspect --config /etc/orders/regionjwt.json --fetch < token
  regionjwt inspect --user-pool us-east-1_AbCdEf123 --replica us-west-2 --client-id 7abc... --fetch < token
  regionjwt inspect --issuer eu=https://eu.example/shop --issuer us=https://us.example/shop --audience https://api.example < token
  regionjwt inspect --issuer eu=https://idp.example --audience-kind keycloak --audience orders --jwks keys.json < token

Output is for terminals: characters that could do something to one are escaped. A token is a password until it expires: keep
it out of arguments, tickets and shell histories.`,
		Prepare: func(c *cli.Call) cli.Action {
			var f flags
			f.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				return run(ctx, c, &f)
			}
		},
	}
}

// report is the answer of inspect.
type report struct {
	Header  json.RawMessage `json:"header,omitempty"`
	Claims  json.RawMessage `json:"claims,omitempty"`
	Issued  *time.Time      `json:"issued_at,omitempty"`
	Expires *time.Time      `json:"expires_at,omitempty"`

	Verdict string `json:"verdict"` // accepted, rejected, cannot_tell, not_rejected, not_checked
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Rule    string `json:"rule,omitempty"` // that rejected it

	Checks     []check  `json:"checks,omitempty"`
	Provider   string   `json:"provider,omitempty"`
	Regions    []string `json:"regions,omitempty"`
	KeyID      string   `json:"kid,omitempty"`
	Thumbprint string   `json:"key_thumbprint,omitempty"`
	Keys       []source `json:"keys,omitempty"`

	header, claims members
	problem        string // why it is not a token
}

// The verdicts.
const (
	accepted    = "accepted"
	rejected    = "rejected"
	cannotTell  = "cannot_tell"
	notRejected = "not_rejected"
	notChecked  = "not_checked"
)

func run(ctx context.Context, c *cli.Call, f *flags) error {
	file, err := f.open(c)
	if err != nil {
		return err
	}
	var policy *verifier.Policy
	if file == nil {
		if policy, err = f.policy(); err != nil {
			return err
		}
	} else {
		defer file.Close()
	}
	raw, err := readToken(c)
	if err != nil {
		return err
	}
	r := &report{Verdict: notChecked}
	r.decode(raw)
	if file != nil {
		policy = file.PolicyOf(strictjson.Find(r.claims, "iss").Text())
	}
	if policy != nil {
		if err := judge(ctx, c, r, raw, &judgement{policy: policy, flags: f, file: file}); err != nil {
			return err
		}
	}
	if c.JSON {
		if err := c.WriteJSON(r); err != nil {
			return err
		}
	} else {
		writeReport(c, r)
	}
	switch r.Verdict {
	case rejected:
		return cli.Told(cli.ExitNo)
	case cannotTell:
		return cli.Told(cli.ExitCannotTell)
	}
	return nil
}

// readToken reads standard input. It removes spaces around a token, and the word Bearer before it.
func readToken(c *cli.Call) (string, error) {
	if f, ok := c.In.(*os.File); ok {
		info, err := f.Stat()
		if nothing, _ := os.Stat(os.DevNull); err == nil && info.Mode()&os.ModeCharDevice != 0 && !os.SameFile(info, nothing) {
			c.Notef("paste the token, then press Enter and Ctrl-D\n")
		}
	}
	data, err := io.ReadAll(io.LimitReader(c.In, maxInput+1))
	if err != nil {
		return "", cli.Fail(cli.ExitUsage, "standard input: %w", err)
	}
	raw := strings.TrimSpace(string(data))
	raw = strings.TrimSpace(strings.TrimPrefix(raw, "Bearer "))
	if raw == "" {
		return "", cli.Fail(cli.ExitUsage, "there is no token on standard input: regionjwt inspect < FILE")
	}
	return raw, nil
}

// decode reads header and claims of what looks like a token, or says why it is none.
func (r *report) decode(raw string) {
	malformed := func(why string) {
		r.Header, r.Claims, r.problem = nil, nil, why
		r.Verdict, r.Reason, r.Detail = rejected, string(verifier.ReasonMalformed), why
	}
	if len(raw) > maxInput {
		r.Verdict, r.Reason, r.Detail = rejected, string(verifier.ReasonMalformed), detailSize
		return
	}
	compact, ok := jose.Split(raw)
	switch {
	case strings.Count(raw, ".") == 4:
		malformed("it has five parts, not three: an encrypted token (JWE), which services reject")
		return
	case !ok:
		malformed("it does not have three parts with dots between them: not a token in compact serialization, or not all of it")
		return
	case strings.Contains(raw, "="):
		malformed("it is padded with \"=\": no JWT, but perhaps the x-amzn-oidc-data of a load balancer, " +
			"which package aws/albauth verifies and this command does not")
		return
	}
	header, parsed, why := decodePart("header", compact.Header)
	if why != "" {
		malformed(why)
		return
	}
	claims, members, why := decodePart("payload", compact.Payload)
	if why != "" {
		malformed(why)
		return
	}
	r.Header, r.Claims, r.header, r.claims = header, claims, parsed, members
	r.Issued, r.Expires = dateOf(members, "iat"), dateOf(members, "exp")
}

func decodePart(name, part string) (doc json.RawMessage, members []strictjson.Member, why string) {
	text, err := jose.AppendBase64(nil, part)
	if err != nil {
		return nil, nil, "the " + name + " is " + err.Error()
	}
	members, err = strictjson.Parse(nil, string(text))
	if err != nil {
		return nil, nil, "the " + name + ": " + err.Error()
	}
	return text, members, ""
}

// dateOf reads a NumericDate for people to see: to the second.
func dateOf(members []strictjson.Member, name string) *time.Time {
	at, ok := jose.NumericDate(strictjson.Find(members, name).Raw())
	if !ok || at.Unix() < 0 {
		return nil
	}
	at = at.UTC().Truncate(time.Second)
	return &at
}

func writeReport(c *cli.Call, r *report) {
	for _, part := range []struct {
		name string
		doc  json.RawMessage
	}{{"header", r.Header}, {"claims", r.Claims}} {
		if part.doc == nil {
			continue
		}
		if doc, err := cli.SafeJSON(part.doc); err == nil {
			c.Printf("%s\n", part.name)
			_, _ = c.Out.Write(doc)
		}
	}
	now := time.Now()
	for _, date := range []struct {
		name string
		at   *time.Time
	}{{"issued", r.Issued}, {"expires", r.Expires}} {
		if date.at != nil {
			c.Printf("%-10s %s, %s\n", date.name, cli.Stamp(*date.at), cli.Ago(*date.at, now))
		}
	}
	for _, field := range []struct{ name, value string }{
		{"provider", r.Provider}, {"regions", strings.Join(r.Regions, ", ")}, {"kid", r.KeyID}, {"thumbprint", r.Thumbprint},
	} {
		if field.value != "" {
			c.Printf("%-10s %s\n", field.name, field.value)
		}
	}
	for _, k := range r.Keys {
		c.Printf("%-10s %s: %s%s\n", "keys of", k.Region+" "+k.URL, k.State, k.problem())
	}
	for _, k := range r.Checks {
		c.Printf("%-10s %-14s %s\n", "check", k.Name, k.Result)
		if k.Wanted != "" {
			c.Printf("%-10s %-14s wanted: %s\n%-10s %-14s found:  %s\n", "", "", k.Wanted, "", "", k.Found)
		}
	}
	c.Printf("%-10s %s\n", "verdict", r.sentence())
}

// sentence says the verdict in words.
func (r *report) sentence() string {
	text := map[string]string{
		accepted:    "accepted",
		rejected:    "rejected: " + r.Reason,
		cannotTell:  "cannot tell: " + r.Reason,
		notRejected: "not rejected by what can be checked without keys: --fetch checks the rest",
		notChecked: "not checked: say for whom it was issued, with --config, or " +
			"--user-pool and --client-id, or --issuer and --audience",
	}[r.Verdict]
	if r.Rule != "" {
		text += ", by the rule " + r.Rule
	}
	if r.Detail != "" {
		text += " (" + r.Detail + ")"
	}
	return text
}
