package statuspage

import "net/http"

// serveHealth answers /health with nothing in names, /health/{region}, and /health/{authority}/{region}.
func (p *Page) serveHealth(w http.ResponseWriter, r *http.Request, names []string) {
	now := p.snapshot()
	if len(names) == 0 {
		probe(w, r, now.ready, "healthy", "unhealthy")
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
	probe(w, r, all, "healthy", "unhealthy")
}

// serveActive answers /active/{region} and /active/{authority}/{region}.
func (p *Page) serveActive(w http.ResponseWriter, r *http.Request, names []string) {
	controlled, all := false, true
	for _, at := range p.snapshot().find(names) {
		if at.authority.Failover != nil {
			controlled, all = true, all && at.region.Active
		}
	}
	if !controlled {
		answer(w, r, http.StatusNotFound, plainText, []byte("status: unknown\n"))
		return
	}
	probe(w, r, all, "active", "inactive")
}

// probe answers 200 or 503, with a first line that says which.
func probe(w http.ResponseWriter, r *http.Request, well bool, yes, no string) {
	if well {
		answer(w, r, http.StatusOK, plainText, []byte("status: "+yes+"\n"))
		return
	}
	answer(w, r, http.StatusServiceUnavailable, plainText, []byte("status: "+no+"\n"))
}

// find returns the regions that names names: a region of all authorities, or an authority and a region of it.
func (p *snapshot) find(names []string) []place {
	if len(names) == 1 {
		return p.byRegion[names[0]]
	}
	if a := p.byID[names[0]]; a != nil {
		for i := range a.Regions {
			if a.Regions[i].Name == names[1] {
				return []place{{a, &a.Regions[i]}}
			}
		}
	}
	return nil
}
