package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// maxInput is how much of standard input is looked at.
const maxInput = 1 << 20

func inspectCommand() command {
	return command{
		name: "inspect", short: "say what a token is, and whether it would be accepted",
		long: `
Reads one token from standard input, and from nowhere else, and writes its header and its claims. It never writes the
signature. With -user-pool and -client-id, or -issuer and -audience, it makes the checks that a service makes which is so
configured, in their order, and says which one refuses the token. Without -fetch it knows no keys: then it can tell that a token
would be refused, but not that it would be accepted. With -fetch it gets the keys of every region, checks the signature, names the
key's thumbprint and the regions that may have minted the token, and with -store asks the rules.

  regionjwt inspect < token
  regionjwt inspect -user-pool us-east-1_AbCdEf123 -replica us-west-2 -client-id 7abc... -fetch < token
  regionjwt inspect -issuer eu=https://eu.example/shop -issuer us=https://us.example/shop -audience https://api.example < token

Output is for terminals: characters that could do something to one are escaped. A token is a password until it expires: keep
it out of arguments, tickets and shell histories.`,
		prepare: func(c *call) action {
			var f trustFlags
			var s storeFlags
			f.define(c)
			s.define(c)
			return func(ctx context.Context, arguments []string) error {
				if err := c.none(arguments); err != nil {
					return err
				}
				return c.inspect(ctx, &f, &s)
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

	Verdict string `json:"verdict"` // accepted, refused, cannot_tell, not_refused, not_checked
	Reason  string `json:"reason,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Rule    string `json:"rule,omitempty"` // that refused it

	Checks     []check  `json:"checks,omitempty"`
	Authority  string   `json:"authority,omitempty"`
	Regions    []string `json:"regions,omitempty"`
	KeyID      string   `json:"kid,omitempty"`
	Thumbprint string   `json:"key_thumbprint,omitempty"`
	Keys       []source `json:"keys,omitempty"`
}

// The verdicts.
const (
	accepted   = "accepted"
	refused    = "refused"
	cannotTell = "cannot_tell"
	notRefused = "not_refused"
	notChecked = "not_checked"
)

func (c *call) inspect(ctx context.Context, f *trustFlags, s *storeFlags) error {
	trust, err := f.trust(s)
	if err != nil {
		return err
	}
	raw, err := c.readToken()
	if err != nil {
		return err
	}
	r := &report{Verdict: notChecked}
	r.decode(raw)
	if trust != nil {
		if err := c.judge(ctx, r, raw, trust, f, s); err != nil {
			return err
		}
	}
	if c.json {
		if err := c.writeJSON(r); err != nil {
			return err
		}
	} else {
		c.writeReport(r)
	}
	switch r.Verdict {
	case refused:
		return told(exitNo)
	case cannotTell:
		return told(exitStore)
	}
	return nil
}

// readToken reads standard input. Spaces around a token do not count, nor does the word Bearer before it.
func (c *call) readToken() (string, error) {
	if f, ok := c.stdin.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			c.notef("paste the token, then press Enter and Ctrl-D\n")
		}
	}
	data, err := io.ReadAll(io.LimitReader(c.stdin, maxInput+1))
	if err != nil {
		return "", fail(exitUsage, "standard input: %w", err)
	}
	raw := strings.TrimSpace(string(data))
	raw = strings.TrimSpace(strings.TrimPrefix(raw, "Bearer "))
	if raw == "" {
		return "", fail(exitUsage, "there is no token on standard input: regionjwt inspect < FILE")
	}
	return raw, nil
}

// decode reads header and claims of what looks like a token, or says why it is none.
func (r *report) decode(raw string) {
	malformed := func(why string) {
		r.Header, r.Claims = nil, nil
		r.Verdict, r.Reason, r.Detail = refused, verifier.ReasonMalformed.String(), why
	}
	if len(raw) > maxInput {
		r.Verdict, r.Reason, r.Detail = refused, verifier.ReasonTooLarge.String(), "longer than 1 MiB"
		return
	}
	parts := strings.SplitN(raw, ".", 6)
	switch {
	case len(parts) == 5:
		malformed("it has five parts, not three: an encrypted token (JWE), which services refuse")
		return
	case len(parts) != 3:
		malformed("it has not three parts with dots between them: not a token in compact serialization, or not all of it")
		return
	}
	header, _, why := decodePart("header", parts[0])
	if why != "" {
		malformed(why)
		return
	}
	claims, members, why := decodePart("payload", parts[1])
	if why != "" {
		malformed(why)
		return
	}
	r.Header, r.Claims = header, claims
	r.Issued, r.Expires = dateOf(members, "iat"), dateOf(members, "exp")
}

func decodePart(name, part string) (doc json.RawMessage, members []strictjson.Member, why string) {
	octets, err := decodeBase64(part)
	if err != nil {
		return nil, nil, "the " + name + " is " + err.Error()
	}
	members, err = strictjson.Parse(nil, string(octets))
	if err != nil {
		return nil, nil, "the " + name + ": " + err.Error()
	}
	return octets, members, ""
}

// dateOf reads a NumericDate for people to see: to the second.
func dateOf(members []strictjson.Member, name string) *time.Time {
	v := strictjson.Find(members, name)
	if v.Kind() != strictjson.Number {
		return nil
	}
	seconds, err := json.Number(v.Raw()).Float64()
	if err != nil || seconds < 0 || seconds > 253402300799 { // the end of the year 9999
		return nil
	}
	t := time.Unix(int64(seconds), 0).UTC()
	return &t
}

func (c *call) writeReport(r *report) {
	for _, part := range []struct {
		name string
		doc  json.RawMessage
	}{{"header", r.Header}, {"claims", r.Claims}} {
		if part.doc == nil {
			continue
		}
		if doc, err := safeJSON(part.doc); err == nil {
			c.printf("%s\n", part.name)
			_, _ = c.stdout.Write(doc)
		}
	}
	now := time.Now()
	for _, date := range []struct {
		name string
		at   *time.Time
	}{{"issued", r.Issued}, {"expires", r.Expires}} {
		if date.at != nil {
			c.printf("%-10s %s, %s\n", date.name, stamp(*date.at), ago(*date.at, now))
		}
	}
	for _, field := range []struct{ name, value string }{
		{"authority", r.Authority}, {"regions", strings.Join(r.Regions, ", ")}, {"kid", r.KeyID}, {"thumbprint", r.Thumbprint},
	} {
		if field.value != "" {
			c.printf("%-10s %s\n", field.name, field.value)
		}
	}
	for _, k := range r.Keys {
		c.printf("%-10s %s: %s%s\n", "keys of", k.Region, k.State, k.trouble())
	}
	for _, k := range r.Checks {
		c.printf("%-10s %-14s %s\n", "check", k.Name, k.Result)
	}
	c.printf("%-10s %s\n", "verdict", r.sentence())
}

// sentence says the verdict in words.
func (r *report) sentence() string {
	text := map[string]string{
		accepted:   "accepted",
		refused:    "refused: " + r.Reason,
		cannotTell: "cannot tell: " + r.Reason,
		notRefused: "not refused by what can be checked without keys: -fetch checks the rest",
		notChecked: "not checked: say for whom, with -user-pool and -client-id, or -issuer and -audience",
	}[r.Verdict]
	if r.Rule != "" {
		text += ", by the rule " + r.Rule
	}
	if r.Detail != "" {
		text += " (" + r.Detail + ")"
	}
	return text
}
