package statuspage

import (
	"fmt"
	"strings"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/control"
	"github.com/regionjwt/regionjwt/jwks"
)

// document returns the status of the providers that are shown, without what only a process should see, and with bounded lists.
func (v *view) document() regionjwt.Status {
	d := v.now.status
	d.Keys, d.Failover = []jwks.Status{}, nil
	for _, p := range v.Providers {
		if p.Failover != nil {
			d.Failover = append(d.Failover, shownFailover(p.Failover))
		}
		for _, r := range p.Regions {
			for _, u := range r.URLs {
				u.URL = withoutQuery(u.URL)
				u.KeyIDs = shortened(u.KeyIDs, maxListed)
				u.MissingKeyIDs = shortened(u.MissingKeyIDs, maxListed)
				u.Skipped = shortenedSkipped(u.Skipped, maxListed)
				d.Keys = append(d.Keys, u)
			}
		}
	}
	return d
}

// shownFailover returns a status whose lists are never null.
func shownFailover(f *failover.Status) failover.Status {
	st := *f
	st.Why, st.Next = append([]string{}, f.Why...), append([]string{}, f.Next...)
	st.Regions = make([]failover.RegionStatus, len(f.Regions))
	for i, r := range f.Regions {
		r.Reports = append([]string{}, r.Reports...)
		st.Regions[i] = r
	}
	return st
}

// withoutQuery returns a URL without its query, which may hold a secret.
func withoutQuery(u string) string {
	u, _, _ = strings.Cut(u, "?")
	return plain(u)
}

// plain escapes the characters of a text that control a terminal or change the direction of writing.
func plain(s string) string {
	if !strings.ContainsFunc(s, control.Character) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		if control.Character(c) {
			fmt.Fprintf(&b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// short cuts a name that a server has chosen, and escapes it.
func short(s string) string {
	count := 0
	for i := range s {
		if count == maxName {
			return plain(s[:i]) + "…"
		}
		count++
	}
	return plain(s)
}

// shortened returns the first names of a list, cut.
func shortened(names []string, most int) (all []string) {
	for _, name := range names[:min(len(names), most)] {
		all = append(all, short(name))
	}
	return all
}

// shortenedSkipped does the same for names with a reason: "kid: reason".
func shortenedSkipped(names []string, most int) (all []string) {
	for _, text := range names[:min(len(names), most)] {
		if i := strings.LastIndex(text, ": "); i >= 0 {
			all = append(all, short(text[:i])+": "+short(text[i+len(": "):]))
		} else {
			all = append(all, short(text))
		}
	}
	return all
}
