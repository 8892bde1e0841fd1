package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer/issuertest"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// output is what a handler writes to; it may be full.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	full bool
}

var errFull = errors.New("no space left")

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full {
		return 0, errFull
	}
	return o.text.Write(b)
}

// lines decodes what was written.
func (o *output) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for line := range strings.Lines(o.text.String()) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		all = append(all, one)
	}
	return all
}

// audited is a validator whose decisions are recorded.
type audited struct {
	*issuertest.World
	*regionjwt.Validator
	*audit.Log
	out   *output
	rules *revocation.List
	east  string
}

func newAudited(t *testing.T, c audit.Config) *audited {
	t.Helper()
	a := &audited{World: issuertest.New(t, issuertest.Config{Layout: issuertest.IssuerPerRegion, Algorithm: "ES256"}), out: &output{}}
	if c.Handler == nil {
		c.Handler = slog.NewJSONHandler(a.out, nil)
	}
	var err error
	a.Log, err = audit.New(c)
	require.NoError(t, err)
	a.rules, err = revocation.New(revocation.Config{})
	require.NoError(t, err)
	a.Validator, err = regionjwt.New(regionjwt.Config{
		Keys: jwks.Config{HTTPClient: a.Client()}, Revocation: a.rules, Hooks: verifier.Hooks{Verified: a.Verified},
		Policies: []verifier.Policy{{Provider: a.Provider(), Audience: verifier.Audience(issuertest.Audience)}},
	})
	require.NoError(t, err)
	require.NoError(t, a.Keys().Preload(t.Context()))
	a.east = a.Provider().Regions[0].Name
	return a
}

func (a *audited) present(raw string, times int) {
	for range times {
		_, _ = a.Verify(context.Background(), raw)
	}
}

func TestMistakesAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := audit.New(audit.Config{Subject: audit.Keyed, Client: 9, RepeatsOneIn: -1, DigestKey: make([]byte, 31)})
	for _, part := range []string{"Handler", "Disclosure", "DigestKey", "RepeatsOneIn"} {
		require.ErrorContains(t, err, part)
	}
	_, err = audit.New(audit.Config{Handler: slog.NewJSONHandler(&output{}, &slog.HandlerOptions{Level: slog.LevelWarn})})
	require.ErrorContains(t, err, "LevelInfo")
}

// What an auditor asks of a decision is in its record.
func TestARecordSaysWhatWasDecidedAndWhy(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{Subject: audit.Plain, Client: audit.Plain, TokenID: audit.Plain})
	raw := a.Token(a.east, issuertest.Claims{Subject: "alice", ClientID: "shop", Set: map[string]any{"jti": "one"}})
	a.present(raw, 2)
	_, err := a.rules.Add(t.Context(), revocation.Rule{AllProviders: true, Subject: "alice"})
	require.NoError(t, err)
	a.present(raw, 1)
	a.present(a.Token(a.east, issuertest.Claims{Issuer: "https://elsewhere.example"}), 1)
	lines := a.out.lines(t)
	require.Len(t, lines, 4)
	for _, l := range lines {
		at, err := time.Parse(time.RFC3339Nano, l["time"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Hour)
		require.Positive(t, l["took_seconds"])
		require.Equal(t, audit.Message, l["msg"])
		for _, name := range []string{"time", "took_seconds", "msg", "level", "key_age_seconds"} {
			delete(l, name)
		}
	}
	key := lines[0]["key"]
	require.Len(t, key, 43)
	region := a.Provider().Regions[0]
	accepted := map[string]any{
		"outcome": "accepted", "authority": a.Provider().ID, "issuer": region.Issuers[0], "region": a.east, "key": key, "key_origin": "fetched",
		"remembered": false, "rules": 0.0, "subject": "alice", "client": "shop", "token_id": "one",
	}
	require.Equal(t, accepted, lines[0])
	accepted["remembered"] = true
	require.Equal(t, accepted, lines[1])
	require.Greater(t, lines[2]["rules"], 0.0)
	delete(lines[2], "rules")
	require.Equal(t, map[string]any{
		"outcome": "invalid", "reason": "revoked", "authority": a.Provider().ID, "region": a.east, "remembered": true,
	}, lines[2])
	require.Equal(t, "unknown_issuer", lines[3]["reason"])
	require.NotContains(t, lines[3], "authority")
	require.Equal(t, audit.Status{Written: 4}, a.Log.Status())
}

// The paper names every field.
func TestThePaperNamesTheFields(t *testing.T) {
	t.Parallel()
	paper, err := os.ReadFile("../../docs/audit.md")
	require.NoError(t, err)
	a := newAudited(t, audit.Config{
		Subject: audit.Plain, Client: audit.Plain, TokenID: audit.Plain, RepeatsOneIn: 2, RefusalsPerSecond: 1,
	})
	a.present(a.Token(a.east, issuertest.Claims{}), 3)
	a.present("x", 2)
	a.Flush(t.Context())
	fields := map[string]bool{}
	for _, l := range a.out.lines(t) {
		for name := range l {
			fields[name] = true
		}
	}
	require.Len(t, fields, 19)
	for name := range fields {
		require.Contains(t, string(paper), "`"+name+"`")
	}
}

// Nothing of a token is written unless it is asked for, and then nothing else; of a refused one, never.
func TestNothingOfATokenIsWrittenUnlessAskedFor(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", 32))
	names := map[string]string{"subject": "mArKsubject", "client": "mArKclient", "token_id": "mArKtokenid"}
	for name, set := range map[string]func(*audit.Config, audit.Disclosure){
		"subject":  func(c *audit.Config, d audit.Disclosure) { c.Subject = d },
		"client":   func(c *audit.Config, d audit.Disclosure) { c.Client = d },
		"token_id": func(c *audit.Config, d audit.Disclosure) { c.TokenID = d },
	} {
		for _, d := range []audit.Disclosure{audit.Omit, audit.Keyed, audit.Plain} {
			c := audit.Config{DigestKey: key}
			set(&c, d)
			a := newAudited(t, c)
			claims := issuertest.Claims{
				Subject: names["subject"], ClientID: names["client"], Scope: "mArKscope", Groups: []string{"mArKgroup"},
				Set: map[string]any{"jti": names["token_id"], "email": "mArK@example.com", "mArKclaim": 1},
			}
			a.present(a.Token(a.east, claims), 2)
			text := a.out.text.String()
			for other, value := range names {
				shown := other == name && d == audit.Plain
				require.Equal(t, shown, strings.Contains(text, value), "%s %d: %s", name, d, other)
				digest := "hmac:" + audit.Digest(key, other, a.Provider().ID, value)
				require.Equal(t, other == name && d == audit.Keyed, strings.Contains(text, digest))
				text = strings.ReplaceAll(text, value, "")
			}
			require.NotContains(t, text, "mArK")
			require.NotContains(t, text, string(key))

			for header, value := range map[string]any{"kid": "mArK", "typ": "mArK", "alg": "mArK", "crit": []string{"mArK"}, "cty": "mArK"} {
				refused := claims
				refused.Header = map[string]any{header: value}
				a.present(a.Token(a.east, refused), 1)
			}
			claims.Issuer = "https://mArK.example"
			a.present(a.Token(a.east, claims), 1)
			claims.Issuer, claims.ExpiresIn = "", -time.Hour
			a.present(a.Token(a.east, claims), 1)
			claims.Forge, claims.ExpiresIn = true, 0
			a.present(a.Token(a.east, claims), 1)
			a.present("mArK", 1)
			lines := a.out.lines(t)
			require.Len(t, lines, 11)
			for _, l := range lines[2:] {
				require.NotEqual(t, "accepted", l["outcome"])
				require.NotContains(t, fmt.Sprint(l), "mArK")
				require.NotContains(t, l, name)
			}
		}
	}
}

// A digest ties a record to a token, and to nothing else.
func TestDigestsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, key := range []string{"a", "b"} {
		for _, parts := range [][3]string{{"subject", "x", "y"}, {"client", "x", "y"}, {"subject", "xy", ""}, {"subject", "", "xy"}} {
			d := audit.Digest([]byte(key), parts[0], parts[1], parts[2])
			require.Len(t, d, 43)
			require.False(t, seen[d])
			seen[d] = true
			require.Equal(t, d, audit.Digest([]byte(key), parts[0], parts[1], parts[2]))
		}
	}
}

// Each token leaves a record, and each refusal, however few of the repeats do.
func TestOnlyRepeatsAreSampled(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{RepeatsOneIn: 10, TokenID: audit.Plain})
	const tokens = 7
	for i := range tokens {
		a.present(a.Token(a.east, issuertest.Claims{Set: map[string]any{"jti": fmt.Sprint("token-", i)}}), 31)
		a.present("x", 3)
	}
	first, repeats, refused := map[any]int{}, 0, 0
	for _, l := range a.out.lines(t) {
		switch {
		case l["outcome"] != "accepted":
			refused++
		case l["remembered"] == true:
			require.Equal(t, 10.0, l["one_in"]) //nolint:testifylint // a whole number
			repeats++
		default:
			require.NotContains(t, l, "one_in")
			first[l["token_id"]]++
		}
	}
	require.Len(t, first, tokens)
	require.Equal(t, 3*tokens, refused)
	require.Equal(t, 30*tokens/10, repeats)
	require.Equal(t, uint64(30*tokens-repeats), a.Log.Status().Repeats)
}

// A flood of refusals is bounded where that is asked for, by reason, and none of them is lost from the count.
func TestAFloodIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t, audit.Config{RefusalsPerSecond: 5})
		expired := a.Token(a.east, issuertest.Claims{ExpiresIn: -time.Hour})
		total := 0
		for range 3 {
			a.present("x", 100)
			total += 100
			time.Sleep(time.Second)
		}
		a.present(expired, 1)
		a.Flush(t.Context())
		a.Flush(t.Context())
		written, suppressed := 0, 0
		lines := a.out.lines(t)
		for _, l := range lines {
			if l["reason"] == "malformed" {
				n, _ := l["suppressed"].(float64)
				suppressed += int(n)
				if l["remembered"] != nil {
					written++
				}
			}
		}
		require.Len(t, lines, 3*5+1+1, "another reason has a bound of its own, and Flush says the rest once")
		require.Equal(t, 15, written)
		require.Equal(t, total, written+suppressed)
		require.Equal(t, audit.Status{Written: 17, Suppressed: uint64(suppressed)}, a.Log.Status())
		last := lines[len(lines)-1]
		delete(last, "time")
		require.Equal(t, map[string]any{
			"level": "INFO", "msg": "token", "outcome": "invalid", "reason": "malformed", "suppressed": 95.0,
		}, last)
	})
}

// By default a flood is written whole.
func TestRefusalsAreNeverSampled(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{RepeatsOneIn: 1000})
	a.present("x", 1000)
	require.Len(t, a.out.lines(t), 1000)
}

// What cannot be written is counted and told, and does not change a decision.
func TestFailures(t *testing.T) {
	t.Parallel()
	var told []error
	var records []audit.Record
	out := &output{}
	level := &slog.LevelVar{}
	a := newAudited(t, audit.Config{
		Handler:   slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}),
		OnFailure: func(err error) { told = append(told, err) },
		OnRecord:  func(_ context.Context, r audit.Record) { records = append(records, r) },
	})
	out.full = true
	raw := a.Token(a.east, issuertest.Claims{})
	_, err := a.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Len(t, told, 1)
	require.ErrorIs(t, told[0], errFull)
	out.full = false
	level.Set(slog.LevelError)
	_, err = a.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Len(t, told, 2)
	require.Equal(t, audit.Status{Failed: 2}, a.Log.Status())
	require.Len(t, records, 2, "the other way still works")
	require.Equal(t, audit.Accepted, records[1].Outcome)
	require.True(t, records[1].Remembered)
}

// Without a handler there are the records alone; "cannot tell" is not "invalid".
func TestOutcomes(t *testing.T) {
	t.Parallel()
	var got []string
	l, err := audit.New(audit.Config{OnRecord: func(_ context.Context, r audit.Record) {
		got = append(got, fmt.Sprint(r.Outcome, " ", r.Reason))
	}})
	require.NoError(t, err)
	for _, e := range []*verifier.Error{
		{Reason: verifier.ReasonKeysUnavailable},
		{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrForbidden},
		{Reason: verifier.ReasonExpired},
		{Reason: verifier.ReasonUnknownKeyRateLimited},
		{Reason: verifier.ReasonKeyNotAllowed},
	} {
		l.Verified(t.Context(), verifier.Verified{Err: e, Began: time.Now()})
	}
	require.Equal(t, []string{
		"unavailable keys_unavailable", "forbidden check_failed", "invalid expired",
		"rate_limited unknown_key_rate_limited", "invalid key_not_allowed",
	}, got)
	require.Equal(t, audit.Status{Written: 5}, l.Status())
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{RepeatsOneIn: 3, RefusalsPerSecond: 10})
	raw := a.Token(a.east, issuertest.Claims{})
	a.present(raw, 1)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 50 {
				a.present(raw, 1)
				a.present("x", 1)
				a.Flush(context.Background())
			}
		})
	}
	all.Wait()
	st := a.Log.Status()
	refused, suppressed := 0, 0
	for _, l := range a.out.lines(t) {
		if l["reason"] == "malformed" {
			n, _ := l["suppressed"].(float64)
			suppressed += int(n)
			if l["remembered"] != nil {
				refused++
			}
		}
	}
	require.Equal(t, 200, refused+suppressed)
	require.Equal(t, uint64(suppressed), st.Suppressed)
	require.Equal(t, uint64(200-200/3), st.Repeats)
}
