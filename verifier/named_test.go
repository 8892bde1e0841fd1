package verifier_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/internal/joined"
	"github.com/regionjwt/regionjwt/internal/signal"
	"github.com/regionjwt/regionjwt/verifier"
)

// A claim is named by its name as it stands, or by a JSON Pointer (RFC 6901).
func TestClaimsByJSONPointer(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	v := newVerifier(t, w, nil)
	tok, err := v.Verify(t.Context(), w.Issue(east, fakeissuer.Claims{Set: map[string]any{
		"a":         map[string]any{"b.c": map[string]any{"": 1, "x/y": "slash", "m~n": "tilde"}, "list": []any{"zero", map[string]any{"k": true}}},
		"/a/list/0": "as it stands", "https://x.example/roles": "url", "null": nil, "~1": "odd",
	}}))
	require.NoError(t, err)
	for name, want := range map[string]any{
		"/a/b.c/x~1y": "slash", "/a/b.c/m~0n": "tilde", "/a/b.c/": 1.0, "/a/list/1/k": true, "/a/list/0": "as it stands",
		"https://x.example/roles": "url", "null": nil, "/null": nil, "/a/list/01": nil, "/a/list/-": nil, "/a/list/2": nil, "/a/none": nil,
		"/a/b.c/x~1y/z": nil, "a.list": nil, "": nil, "/": nil, "~1": "odd", "/~01": "odd", "/a/list": []any{"zero", map[string]any{"k": true}},
		"/cnf/jkt": nil, "cnf": nil,
	} {
		require.Equal(t, want, tok.Claim(name), name)
	}
	for _, name := range []string{"", "/a~", "/a~2", "/~/b"} {
		policy := verifier.Policy{Provider: w.Provider(), Audience: verifier.Audience("a"), RequiredClaims: []string{name}}
		_, err := verifier.New([]verifier.Policy{policy}, &fixed{}, verifier.Config{})
		require.ErrorContains(t, err, "RequiredClaims", "%q", name)
	}
}

// listed is a source of rules.
type listed struct {
	rule    string
	err     error
	changed signal.Signal
	silent  bool // it does not announce changes
}

func (l *listed) Revoked(*verifier.Token) (string, error) { return l.rule, l.err }

func (l *listed) Changed() <-chan struct{} {
	if l.silent {
		return nil
	}
	return l.changed.Changed()
}

// Of several sources of rules each is asked, and a rule that matches wins over one that is not known.
func TestSeveralSourcesOfRules(t *testing.T) {
	t.Parallel()
	w := fakeissuer.New(t, fast(fakeissuer.IssuerPerRegion))
	raw := w.Issue(east, fakeissuer.Claims{})
	for _, silent := range []bool{false, true} {
		one, two := &listed{}, &listed{silent: silent}
		v := newVerifier(t, w, func(_ *verifier.Policy, c *parts) {
			c.Revocation = joined.Of[*verifier.Token, verifier.Revocation]{one, two}
		})
		verify := func() string {
			_, err := v.Verify(t.Context(), raw)
			return reasonOf(t, err)
		}
		require.Empty(t, verify())
		for i, l := range []*listed{one, two, one, two} {
			changed := v.Changed()
			l.rule = "rule-1"
			l.changed.Send()
			require.Equal(t, "revoked", verify(), "source %d", i%2)
			other := []*listed{two, one}[i%2]
			other.err = errors.New("unknown")
			other.changed.Send()
			require.Equal(t, "revoked", verify())
			l.rule = ""
			l.changed.Send()
			require.Equal(t, "rules_unavailable", verify())
			other.err = nil
			other.changed.Send()
			require.Empty(t, verify())
			select {
			case <-changed:
			default:
				t.Error("the change was not announced")
			}
		}
	}
	require.Error(t, func() error {
		_, err := joined.Of[*verifier.Token, verifier.Revocation]{&listed{err: errors.New("unknown")}}.Revoked(nil)
		return err
	}())
	require.Empty(t, slices.Collect(new(verifier.Token).Scopes()))
}
