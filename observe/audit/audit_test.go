package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose/josetest"
	"github.com/regionjwt/regionjwt/internal/pseudonym"
	"github.com/regionjwt/regionjwt/observe/audit"
	"github.com/regionjwt/regionjwt/verifier"
)

// pseudonymKey is a valid key.
var pseudonymKey = []byte(strings.Repeat("k", pseudonym.MinKeyBytes))

// allPlain lists every name.
var allPlain = []string{"subject", "client_id", "token_id", "actor"}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := audit.New(nil, audit.Config{
		PseudonymKey: make([]byte, 31), Plain: []string{"sub", "subject", "subject"}, SampleCached: -1, MaxRejectionsPerSecond: -1,
	})
	for _, part := range []string{
		"slog.Handler", "PseudonymKey has 31 bytes", `Plain: "sub" is not`, `Plain: "subject" is listed twice`, "SampleCached",
		"MaxRejectionsPerSecond",
	} {
		require.ErrorContains(t, err, part)
	}
	_, err = audit.New(slog.NewJSONHandler(&output{}, &slog.HandlerOptions{Level: slog.LevelWarn}), audit.Config{})
	require.ErrorContains(t, err, "LevelInfo")
	h := slog.NewJSONHandler(&output{}, nil)
	_, err = audit.New(h, audit.Config{PseudonymKey: []byte{}})
	require.ErrorContains(t, err, "PseudonymKey has 0 bytes", "a secret that was not loaded")
	_, err = audit.New(h, audit.Config{PseudonymKey: pseudonymKey, Plain: allPlain})
	require.ErrorContains(t, err, "PseudonymKey is not used")
}

func TestARecordSaysWhatWasDecidedAndWhy(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{Plain: allPlain})
	raw := a.token(t, nil)
	a.present(raw, 2)
	a.rules.revoke("alice")
	a.present(raw, 1)
	a.present(a.token(t, map[string]any{"iss": "https://elsewhere.example"}), 1)
	a.present(a.token(t, map[string]any{"exp": "soon"}), 1)
	lines := a.out.lines(t)
	require.Len(t, lines, 5)
	for _, l := range lines {
		at, err := time.Parse(time.RFC3339Nano, l["time"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Hour)
		require.Positive(t, l["duration_seconds"])
		require.Equal(t, "token", l["msg"])
		require.Equal(t, "INFO", l["level"])
		for _, name := range []string{"time", "duration_seconds", "msg", "level"} {
			delete(l, name)
		}
	}
	thumbprint := lines[0]["thumbprint"]
	require.Len(t, thumbprint, 43)
	accepted := map[string]any{
		"outcome": "accepted", "provider": providerID, "issuer": issuerName, "region": region, "key_id": a.signer.ID,
		"thumbprint": thumbprint, "key_age_seconds": 0.0, "key_origin": "static", "cached": false,
		"subject": "alice", "client_id": "web", "token_id": "one",
	}
	require.Equal(t, accepted, lines[0])
	accepted["cached"] = true
	require.Equal(t, accepted, lines[1])
	require.Equal(t, map[string]any{
		"outcome": "invalid", "reason": "revoked", "rule": "rule-1", "provider": providerID, "region": region, "cached": true,
	}, lines[2])
	require.Equal(t, map[string]any{"outcome": "invalid", "reason": "unknown_issuer", "cached": false}, lines[3])
	require.Equal(t, map[string]any{"outcome": "invalid", "reason": "malformed", "detail": "exp", "cached": false}, lines[4])
}

// The documentation and the package comment name every attribute.
func TestTheDocumentationNamesEveryAttribute(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/audit.md")
	require.NoError(t, err)
	source, err := os.ReadFile("audit.go")
	require.NoError(t, err)
	comment, _, _ := strings.Cut(string(source), "package audit\n")
	a := newAudited(t, audit.Config{Plain: allPlain, SampleCached: 2, MaxRejectionsPerSecond: 1})
	raw := a.token(t, nil)
	a.present(raw, 3)
	a.present(a.token(t, map[string]any{"act": map[string]any{"iss": "https://agents.example", "sub": "agent"}}), 1)
	a.rules.revoke("alice")
	a.present(raw, 1)
	a.present(a.token(t, map[string]any{"aud": "other"}), 1)
	a.present("x", 2)
	a.Flush(t.Context())
	attributes := map[string]bool{}
	for _, l := range a.out.lines(t) {
		for name := range l {
			attributes[name] = true
		}
	}
	require.Len(t, attributes, 24)
	for name := range attributes {
		require.Contains(t, string(page), "`"+name+"`")
		if name != "time" && name != "level" && name != "msg" {
			require.Regexp(t, `\b`+name+`\b`, comment)
		}
	}
}

// marked are claims whose values must not be written.
func marked() map[string]any {
	return map[string]any{
		"sub": "mArKsubject", "client_id": "mArKclient", "jti": "mArKtokenid", "scope": "mArKscope", "groups": []string{"mArKgroup"},
		"email": "mArK@example.com", "mArKclaim": 1,
		"act": map[string]any{"sub": "mArKactor", "mArKclaim": 1, "act": map[string]any{"sub": "mArKearlier"}},
	}
}

// Nothing of a token is written unless it is configured, and then nothing else.
func TestNamesAreWrittenOnlyAsConfigured(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"subject": "mArKsubject", "client_id": "mArKclient", "token_id": "mArKtokenid", "actor": "mArKactor",
	}
	for plain := range names {
		for _, key := range [][]byte{nil, pseudonymKey} {
			for _, list := range [][]string{nil, {plain}} {
				a := newAudited(t, audit.Config{PseudonymKey: key, Plain: list})
				a.present(a.token(t, marked()), 2)
				text := a.out.text.String()
				require.Len(t, a.out.lines(t), 2)
				for name, value := range names {
					inClear := len(list) > 0 && name == plain
					require.Equal(t, inClear, strings.Contains(text, `"`+name+`":"`+value+`"`), name)
					p := pseudonym.Of(pseudonymKey, name, providerID, value)
					require.Equal(t, key != nil && !inClear, strings.Contains(text, `"`+name+`":"`+p+`"`), name)
					require.Equal(t, key != nil || inClear, strings.Contains(text, `"`+name+`"`), name)
					text = strings.ReplaceAll(text, value, "")
				}
				require.NotContains(t, text, "mArK")
				require.NotContains(t, text, string(pseudonymKey))
			}
		}
	}
}

// Nothing of a rejected token is ever written: nobody has confirmed what it says.
func TestNothingOfARejectedTokenIsWritten(t *testing.T) {
	t.Parallel()
	forger, err := josetest.NewSigner("ES256")
	require.NoError(t, err)
	for _, c := range []audit.Config{{}, {PseudonymKey: pseudonymKey}, {Plain: allPlain}} {
		a := newAudited(t, c)
		raw := []string{"mArK", "mArK.mArK.mArK", a.sign(t, forger, nil, marked())}
		for name, value := range map[string]any{"kid": "mArK", "typ": "mArK", "alg": "mArK", "crit": []string{"mArK"}, "cty": "mArK"} {
			raw = append(raw, a.sign(t, a.signer, map[string]any{name: value}, marked()))
		}
		for name, value := range map[string]any{
			"iss": "https://mArK.example", "exp": 1, "nbf": "mArK", "aud": "mArK", "client_id": map[string]any{"mArK": 1},
		} {
			claims := marked()
			claims[name] = value
			raw = append(raw, a.token(t, claims))
		}
		good := a.token(t, marked())
		a.present(good, 1)
		a.rules.revoke("mArKsubject")
		raw = append(raw, good)
		for _, r := range raw {
			a.present(r, 1)
		}
		lines := a.out.lines(t)[1:]
		require.Len(t, lines, len(raw))
		for _, l := range lines {
			require.NotEqual(t, "accepted", l["outcome"])
			require.NotContains(t, fmt.Sprint(l), "mArK")
			for _, name := range allPlain {
				require.NotContains(t, l, name)
			}
		}
	}
}

// The caller may clear its key after New.
func TestTheKeyIsCopied(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", pseudonym.MinKeyBytes))
	a := newAudited(t, audit.Config{PseudonymKey: key})
	clear(key)
	a.present(a.token(t, nil), 1)
	require.Equal(t, pseudonym.Of(pseudonymKey, "subject", providerID, "alice"), a.out.lines(t)[0]["subject"])
}

// Each token has a record, and each rejection has, however few of the later decisions are sampled.
func TestOnlyCachedDecisionsAreSampled(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{SampleCached: 10, Plain: []string{"token_id"}})
	const tokens = 7
	for i := range tokens {
		a.present(a.token(t, map[string]any{"jti": fmt.Sprint("token-", i)}), 31)
		a.present("x", 3)
	}
	revoked := a.token(t, map[string]any{"sub": "bob", "jti": "bob"})
	a.present(revoked, 1)
	a.rules.revoke("bob")
	a.present(revoked, 5)
	first, sampled, rejected := map[any]int{}, 0, 0
	for _, l := range a.out.lines(t) {
		switch {
		case l["outcome"] != "accepted":
			rejected++
		case l["cached"] == true:
			require.Equal(t, 10.0, l["one_in"]) //nolint:testifylint // a whole number
			sampled++
		default:
			require.NotContains(t, l, "one_in")
			first[l["token_id"]]++
		}
	}
	require.Len(t, first, tokens+1)
	require.Equal(t, 3*tokens+5, rejected, "also of a token that is cached")
	require.Equal(t, 30*tokens/10, sampled)
}

// The limit is for each reason, and no rejection is lost from the count.
func TestSuppressedRejectionsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t, audit.Config{MaxRejectionsPerSecond: 5})
		expired := a.token(t, map[string]any{"exp": 1})
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
				if l["msg"] == "token" {
					written++
				}
			}
		}
		require.Len(t, lines, 3*5+1+1, "another reason has its own limit, and Flush writes the rest once")
		require.Equal(t, 15, written)
		require.Equal(t, total, written+suppressed)
		last := lines[len(lines)-1]
		delete(last, "time")
		require.Equal(t, map[string]any{
			"level": "INFO", "msg": "rejections suppressed", "outcome": "invalid", "reason": "malformed", "suppressed": 95.0,
		}, last)
	})
}

// If the record that has the number cannot be written, a later one has it.
func TestACountThatCannotBeWrittenIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAudited(t, audit.Config{MaxRejectionsPerSecond: 1})
		a.present("x", 10)
		a.out.setFull(true)
		a.Flush(t.Context())
		time.Sleep(time.Second)
		a.present("x", 1)
		a.out.setFull(false)
		a.Flush(t.Context())
		lines := a.out.lines(t)
		require.Len(t, lines, 2)
		require.Equal(t, 9.0, lines[1]["suppressed"]) //nolint:testifylint // a whole number
	})
}

// Without a limit every rejection has a record.
func TestRejectionsAreNeverSampled(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{SampleCached: 1000})
	a.present("x", 1000)
	require.Len(t, a.out.lines(t), 1000)
}

// A failed write is reported, and does not change a decision.
func TestFailedWritesAreReported(t *testing.T) {
	t.Parallel()
	var failures []error
	out, level := &output{}, &slog.LevelVar{}
	a := newAuditedTo(t, out, slog.NewJSONHandler(out, &slog.HandlerOptions{Level: level}), audit.Config{
		OnError: func(err error) { failures = append(failures, err) },
	})
	raw := a.token(t, nil)
	out.setFull(true)
	_, err := a.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Len(t, failures, 1)
	require.ErrorIs(t, failures[0], errFull)
	out.setFull(false)
	level.Set(slog.LevelError)
	_, err = a.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Len(t, failures, 2)
	require.ErrorContains(t, failures[1], "LevelInfo")
	level.Set(slog.LevelInfo)
	_, err = a.Verify(t.Context(), raw)
	require.NoError(t, err)
	require.Len(t, failures, 2)
	require.Len(t, out.lines(t), 1)
}

// "Cannot tell" is not "invalid".
func TestOutcomes(t *testing.T) {
	t.Parallel()
	out := &output{}
	l, err := audit.New(slog.NewJSONHandler(out, nil), audit.Config{})
	require.NoError(t, err)
	l.Record(t.Context(), verifier.Decision{}) // neither a token nor an error
	for _, e := range []*verifier.Error{
		{Reason: verifier.ReasonKeysUnavailable},
		{Reason: verifier.ReasonCheckFailed, Err: verifier.ErrForbidden},
		{Reason: verifier.ReasonExpired},
		{Reason: verifier.ReasonUnknownKeyRateLimited},
		{Reason: verifier.ReasonKeyNotAllowed},
		{},
	} {
		l.Record(t.Context(), verifier.Decision{Err: e})
	}
	var got []string
	for _, line := range out.lines(t) {
		got = append(got, fmt.Sprint(line["outcome"], " ", line["reason"]))
	}
	require.Equal(t, []string{
		"unavailable keys_unavailable", "forbidden check_failed", "invalid expired",
		"rate_limited unknown_key_rate_limited", "invalid key_not_allowed", "invalid <nil>",
	}, got)
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	a := newAudited(t, audit.Config{SampleCached: 3, MaxRejectionsPerSecond: 10})
	raw := a.token(t, nil)
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
	a.Flush(t.Context())
	accepted, rejected, suppressed := 0, 0, 0
	for _, l := range a.out.lines(t) {
		if l["outcome"] == "accepted" {
			accepted++
			continue
		}
		n, _ := l["suppressed"].(float64)
		suppressed += int(n)
		if l["msg"] == "token" {
			rejected++
		}
	}
	require.Equal(t, 200, rejected+suppressed)
	require.Equal(t, 1+200/3, accepted)
}
