package statuspage

import (
	"net/http"

	"github.com/regionjwt/regionjwt/internal/label"
)

// serveHealth answers /health if there are no names, /health/{region}, and /health/{provider}/{region}.
func (p *page) serveHealth(w http.ResponseWriter, r *http.Request, names []string) {
	now := p.snapshot()
	if len(names) == 0 {
		probe(w, r, now.status.Ready, label.Healthy, label.Unhealthy)
		return
	}
	where := now.find(names)
	all := true
	for _, at := range where {
		all = all && at.region.Healthy
	}
	if len(where) == 0 {
		answer(w, r, http.StatusNotFound, plainText, []byte("status: unknown\n"))
		return
	}
	probe(w, r, all, label.Healthy, label.Unhealthy)
}

// serveActive answers /active/{region} and /active/{provider}/{region}.
func (p *page) serveActive(w http.ResponseWriter, r *http.Request, names []string) {
	controlled, all := false, true
	for _, at := range p.snapshot().find(names) {
		if at.provider.Failover != nil {
			controlled, all = true, all && at.region.Active
		}
	}
	if !controlled {
		answer(w, r, http.StatusNotFound, plainText, []byte("status: unknown\n"))
		return
	}
	probe(w, r, all, "active", "inactive")
}

// probe answers 200 or 503, with one line that says which.
func probe(w http.ResponseWriter, r *http.Request, good bool, yes, no string) {
	if good {
		answer(w, r, http.StatusOK, plainText, []byte("status: "+yes+"\n"))
		return
	}
	answer(w, r, http.StatusServiceUnavailable, plainText, []byte("status: "+no+"\n"))
}

// find returns the regions with these names: a region of all providers, or a provider and one of its regions.
func (s *snapshot) find(names []string) []place {
	if len(names) == 1 {
		return s.byRegion[names[0]]
	}
	if p := s.byID[names[0]]; p != nil {
		for i := range p.Regions {
			if p.Regions[i].Name == names[1] {
				return []place{{p, &p.Regions[i]}}
			}
		}
	}
	return nil
}
