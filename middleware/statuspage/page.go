package statuspage

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string

	pageTemplate = template.Must(template.New("page").Funcs(templateFuncs).Parse(pageText))
)

// contentSecurityPolicy allows the page its own style and its empty icon, and nothing else.
var contentSecurityPolicy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; img-src data:; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'"

func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// serveStatus answers with the page or the JSON.
func (p *page) serveStatus(w http.ResponseWriter, r *http.Request, asJSON bool) {
	q, _ := url.ParseQuery(r.URL.RawQuery) // the parameters that are well-formed
	v := p.view(q)
	status := http.StatusOK
	if v.One && len(v.Providers) == 0 {
		status = http.StatusNotFound
	}
	if v.Next {
		w.Header().Set("Link", "<"+v.More+`>; rel="next"`)
	}
	var body bytes.Buffer
	if asJSON {
		if err := json.NewEncoder(&body).Encode(v.document()); err == nil {
			answer(w, r, status, applicationJSON, body.Bytes())
			return
		}
	} else if err := pageTemplate.Execute(&body, v); err == nil {
		answer(w, r, status, "text/html; charset=utf-8", body.Bytes())
		return
	}
	answer(w, r, http.StatusInternalServerError, plainText, []byte("cannot be shown\n"))
}

// view is what an answer shows.
type view struct {
	now   *snapshot
	Title string
	Time  time.Time
	Style template.CSS

	Providers []*provider
	Reload    int    // seconds; 0 means never
	One       bool   // one provider was asked for
	Paged     bool   // providers were asked for in the order of their IDs
	Next      bool   // there are more of them
	More      string // the query for the next ones

	Events  []event
	Earlier int // events before them
}

// view selects what a request asks for.
func (p *page) view(q url.Values) *view {
	now := p.snapshot()
	v := &view{now: now, Title: p.title, Time: now.at.UTC(), Style: template.CSS(pageStyle)} //nolint:gosec // it is our own
	if n, err := strconv.Atoi(q.Get("reload")); err == nil && n > 0 && n <= maxReload {
		v.Reload = n
	}
	switch id := q.Get("provider"); {
	case id != "":
		v.One = true
		if one := now.byID[id]; one != nil {
			v.Providers = []*provider{one}
		}
	case q.Has("after"):
		v.Paged = true
		var next string
		v.Providers, next = now.after(q.Get("after"), maxProviders)
		v.Next, v.More = next != "", "?"+url.Values{"after": {next}}.Encode()
	default:
		v.Providers = now.first(maxProviders)
	}
	v.Events, v.Earlier = p.events.last()
	return v
}

// Ready reports whether tokens can be verified.
func (v *view) Ready() bool { return v.now.status.Ready }

// Total, NotReady and Problems count all providers, those without usable keys, and those with a problem.
func (v *view) Total() int    { return len(v.now.providers) }
func (v *view) NotReady() int { return v.now.notReady }
func (v *view) Problems() int { return v.now.problems }

// ReadyCount is the number of providers that are ready.
func (v *view) ReadyCount() int { return v.Total() - v.now.notReady }

// Omitted is the number of providers that are not shown.
func (v *view) Omitted() int { return v.Total() - len(v.Providers) }

// Rules is the state of the revocation rules, or nil.
func (v *view) Rules() *revocation.Status { return v.now.status.Revocation }

// RulesKnown reports whether the rules are known.
func (v *view) RulesKnown() bool { return v.Rules().Replica.Origin != label.None }

// RulesProblem reports whether the rules are unknown, not all are applied, or their store or local copy has a problem.
func (v *view) RulesProblem() bool {
	r := v.Rules().Replica
	for i := range v.Rules().Signals {
		s := &v.Rules().Signals[i]
		if s.Replica.Origin == label.None || s.Replica.Stale || s.Refused > 0 || s.Ignored || s.Replica.StoreProblem != "" {
			return true
		}
	}
	return !v.RulesKnown() || r.Stale || v.Rules().Unreadable > 0 || r.StoreProblem != "" || r.LocalProblem != ""
}

// Oldest is the age of the oldest key set with keys that is shown, in seconds, or -1.
func (v *view) Oldest() int64 {
	age := int64(-1)
	for _, p := range v.Providers {
		for _, r := range p.Regions {
			for i := range r.URLs {
				if u := &r.URLs[i]; len(u.KeyIDs) > 0 {
					age = max(age, v.Age(u))
				}
			}
		}
	}
	return age
}

// State is the state in one word, for the style.
func (v *view) State() string {
	switch {
	case !v.Ready():
		return "bad"
	case v.now.problems > 0 || v.Rules() != nil && v.RulesProblem():
		return "warn"
	}
	return "good"
}

// Ago is the time from t to the snapshot, and Until the time from the snapshot to t.
func (v *view) Ago(t time.Time) string   { return long(seconds(v.Time.Sub(t))) }
func (v *view) Until(t time.Time) string { return long(seconds(t.Sub(v.Time))) }

// Age is the time since the last good answer of a JWKS URL, in seconds; 0 if there was none.
func (v *view) Age(u *jwks.Status) int64 {
	if u.LastSuccess.IsZero() {
		return 0
	}
	return seconds(v.Time.Sub(u.LastSuccess))
}

func seconds(d time.Duration) int64 { return int64(max(d, 0) / time.Second) }
