package inspect

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/verifier"
)

// source is the state of the keys of one JWKS URL.
type source struct {
	Region string   `json:"region"`
	URL    string   `json:"url"`
	State  string   `json:"state"`
	Error  string   `json:"error,omitempty"`
	KeyIDs []string `json:"kids,omitempty"`
}

func (s source) problem() string {
	if s.Error == "" {
		return ""
	}
	return ", last error: " + s.Error
}

// watchedKeys notes whether a verifier has got as far as asking for keys, and which it got.
type watchedKeys struct {
	jwks.Source
	answered bool
	found    []*jwks.Key
}

// Lookup implements jwks.Source.
func (w *watchedKeys) Lookup(ctx context.Context, q jwks.Query) jwks.Result {
	r := w.Source.Lookup(ctx, q)
	if !q.CacheOnly {
		w.answered = w.answered || len(r.Keys) > 0
		w.found = append(w.found, r.Keys...)
	}
	return r
}

// noKeys is the Source if there are no keys.
type noKeys struct{}

// Lookup implements jwks.Source: it cannot tell.
func (noKeys) Lookup(context.Context, jwks.Query) jwks.Result { return jwks.Result{} }

// Changed implements jwks.Source.
func (noKeys) Changed() <-chan struct{} { return nil }

// watchedRules notes the token that a verifier asks about, which has a good signature, and the rule.
type watchedRules struct {
	list  *rules.List // nil if there are none to ask
	token *verifier.Token
	rule  string
}

// Revoked implements verifier.Revocation.
func (w *watchedRules) Revoked(t *verifier.Token) (string, error) {
	w.token = t
	if w.list == nil {
		return "", nil
	}
	rule, err := w.list.Revoked(t)
	w.rule = rule
	return rule, err
}

// Changed implements verifier.Revocation.
func (w *watchedRules) Changed() <-chan struct{} { return nil }

// judgement is what one run of inspect needs to judge a token.
type judgement struct {
	report *report
	policy *verifier.Policy
	flags  *flags
	keys   *watchedKeys
	rules  *watchedRules
	note   error // the problem with the rules, or nil
}

// judge lets a verifier check the token, and writes down what it found.
func judge(ctx context.Context, c *cli.Call, r *report, raw string, p *verifier.Policy, f *flags) error {
	j := &judgement{report: r, policy: p, flags: f, keys: &watchedKeys{Source: noKeys{}}, rules: &watchedRules{}}
	ctx, cancel := context.WithTimeout(ctx, max(f.rules.Timeout, time.Second))
	defer cancel()
	if err := j.openKeys(ctx); err != nil {
		return err
	}
	if f.fetch && len(f.rules.Stores) > 0 {
		list, err := f.rules.Open(c, false, false)
		if err != nil {
			return err
		}
		defer list.CloseAll()
		_, j.note = list.Load(ctx)
		j.rules.list = list
	}
	v, err := verifier.New([]verifier.Policy{*p}, j.keys, verifier.Config{Revocation: j.rules, CacheSize: -1})
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	_, err = v.Verify(ctx, raw)
	j.take(err, raw)
	return nil
}

// openKeys opens the keys that the flags name.
func (j *judgement) openKeys(ctx context.Context) error {
	f := j.flags
	switch {
	case f.keyFile() != "":
		sets, err := f.readKeySet(j.policy.Provider)
		if err != nil {
			return err
		}
		if j.keys.Source, err = jwks.NewStatic(sets); err != nil {
			return cli.Fail(cli.ExitUsage, "--jwks: %w", err)
		}
	case f.fetch:
		client, err := f.provider.Client(f.rules.Timeout)
		if err != nil {
			return err
		}
		cache, err := jwks.New([]issuer.Provider{j.policy.Provider},
			jwks.Config{HTTPClient: client, InsecureHTTPHosts: f.provider.PlainHosts})
		if err != nil {
			return cli.Fail(cli.ExitUsage, "%w", err)
		}
		_ = cache.Preload(ctx) // what it could not get stands in its Status
		j.keys.Source = cache
		for _, st := range cache.Status() {
			j.report.Keys = append(j.report.Keys, source{st.Region, st.URL, st.State, st.Failure, st.KeyIDs})
		}
	}
	return nil
}

// hasKeys reports whether keys could be asked for.
func (j *judgement) hasKeys() bool { return j.flags.fetch || j.flags.keyFile() != "" }

// take writes down what the verifier said.
func (j *judgement) take(err error, raw string) {
	r := j.report
	var rejection *verifier.Error
	if err != nil && !errors.As(err, &rejection) {
		rejection = &verifier.Error{Reason: verifier.ReasonMalformed}
	}
	if tok := j.rules.token; tok != nil {
		r.Provider, r.Regions = tok.Provider(), tok.Regions()
		if k := tok.Key(); k != nil {
			r.KeyID, r.Thumbprint = k.ID(), k.Thumbprint()
		}
	}
	r.Rule = j.rules.rule
	why := r.Detail // of what decode has found
	r.Reason, r.Detail = "", ""
	if rejection != nil {
		named := *rejection
		named.Detail, _, _ = strings.Cut(rejection.Detail, ", see ") // the option of a Policy, which is a flag here
		rejection = &named
	}
	at := j.stageOf(rejection)
	unknown := errors.Is(err, verifier.ErrUnavailable) || errors.Is(err, verifier.ErrRateLimited)
	switch {
	case rejection == nil:
		r.Verdict = accepted
	case at == stageKey && !j.hasKeys():
		r.Verdict = notRejected
	case unknown:
		r.Verdict, r.Reason = cannotTell, labelOf(rejection)
	default:
		r.Verdict, r.Reason = rejected, labelOf(rejection)
	}
	var wanted, found string
	if r.Verdict == rejected || r.Verdict == cannotTell {
		wanted, found = j.explain(at, rejection, len(raw))
	}
	if r.Verdict == rejected {
		r.Detail = r.detail(rejection, why)
	}
	if j.note != nil {
		r.Detail = j.note.Error()
		if r.Verdict == accepted && !j.rules.list.AnyWell() { // by rules that may not be all
			r.Verdict, r.Reason = cannotTell, rulesUnavailable
			wanted, found = "rules that are known to be complete", "a problem with the store"
		}
	}
	r.Checks = j.checks(at, rejection, wanted, found)
}

// detail says what decided: a claim, a header parameter, or why it is not a token. The rule has a field of its own.
func (r *report) detail(e *verifier.Error, notAToken string) string {
	text := cmp.Or(e.Detail, notAToken)
	switch {
	case r.Rule != "":
		return ""
	case e.Err == nil:
		return text
	case text == "":
		return e.Err.Error()
	}
	return text + ": " + e.Err.Error()
}

// labelOf is the label of a rejection.
func labelOf(e *verifier.Error) string { return string(e.Reason) }

// list writes values for people.
func list(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	quoted := make([]string, 0, len(values))
	for i, v := range values {
		if i == maxValues {
			quoted = append(quoted, "...")
			break
		}
		quoted = append(quoted, cli.Quoted(short(v)))
	}
	return strings.Join(quoted, ", ")
}
