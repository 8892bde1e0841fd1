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
	"time"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string

	pageTemplate = template.Must(template.New("page").Funcs(words).Parse(pageText))
)

// contentSecurityPolicy allows the page its own style and its empty icon, and nothing else.
var contentSecurityPolicy = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; img-src data:; base-uri 'none'; " +
	"form-action 'self'; frame-ancestors 'none'"

func styleHash() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// serveStatus answers with the page or a Document.
func (p *Page) serveStatus(w http.ResponseWriter, r *http.Request, asJSON bool) {
	q, _ := url.ParseQuery(r.URL.RawQuery) // what can be read of it
	v := p.view(q)
	status := http.StatusOK
	if q.Get("authority") != "" && len(v.Authorities) == 0 {
		status = http.StatusNotFound
	}
	var body bytes.Buffer
	if asJSON {
		if err := json.NewEncoder(&body).Encode(v.Document); err == nil {
			answer(w, r, status, applicationJSN, body.Bytes())
			return
		}
	} else if err := pageTemplate.Execute(&body, v); err == nil {
		answer(w, r, status, "text/html; charset=utf-8", body.Bytes())
		return
	}
	answer(w, r, http.StatusInternalServerError, plainText, []byte("cannot be shown\n"))
}

// view is what the page shows.
type view struct {
	Document
	Style  template.CSS
	Reload int    // seconds; 0 is not at all
	One    bool   // whether one authority was asked for
	Paged  bool   // whether they were asked for in the order of their IDs
	More   string // the query for the next ones
	Oldest int64  // the age of the oldest key set that is shown, in seconds; -1 where there is none
}

// view selects what is asked for.
func (p *Page) view(q url.Values) *view {
	now := p.snapshot()
	v := &view{Style: template.CSS(pageStyle), Reload: int(p.config.Reload / time.Second)} //nolint:gosec // it is our own
	v.Document = Document{
		Title: p.config.Title, Time: now.at.UTC(), Ready: now.ready, Total: len(now.authorities), NotReady: now.notReady,
		Troubled: now.troubled, Rules: now.rules, Authorities: []Authority{},
	}
	var shown []*Authority
	switch id := q.Get("authority"); {
	case id != "":
		v.One = true
		if a := now.byID[id]; a != nil {
			shown = []*Authority{a}
		}
	case q.Has("after"):
		v.Paged = true
		shown, v.Next = now.after(q.Get("after"), MaxAuthorities)
		v.More = "?" + url.Values{"after": {v.Next}}.Encode()
	default:
		shown = now.first(MaxAuthorities)
	}
	for _, a := range shown {
		v.Authorities = append(v.Authorities, *a)
	}
	v.Omitted = v.Total - len(shown)
	v.Oldest = oldest(shown)
	v.Events, v.Missed = p.config.Events.last()
	return v
}

func oldest(all []*Authority) int64 {
	age := int64(-1)
	for _, a := range all {
		for _, r := range a.Regions {
			for i := range r.KeySets {
				if k := &r.KeySets[i]; k.Keys > 0 {
					age = max(age, k.Age)
				}
			}
		}
	}
	return age
}

// State is the state of all in one word, for the style.
func (v *view) State() string {
	switch {
	case !v.Ready:
		return "bad"
	case v.Troubled > 0 || v.Rules != nil && (!v.Rules.Known || v.Rules.Trouble != ""):
		return "warn"
	}
	return "good"
}

// ReadyCount is the number of authorities that are ready.
func (v *view) ReadyCount() int { return v.Total - v.NotReady }

// Ago says how long before the snapshot t was, and Until how long after.
func (v *view) Ago(t time.Time) string   { return long(seconds(v.Time.Sub(t))) }
func (v *view) Until(t time.Time) string { return long(seconds(t.Sub(v.Time))) }
