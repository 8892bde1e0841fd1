package jwks_test

import (
	"slices"
	"time"
)

// event changes one thing of the world. The caller holds no lock.
func (w *simWorld) event() {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.regions[w.rand.IntN(len(w.regions))]
	u := r.urls[w.rand.IntN(len(r.urls))]
	switch w.rand.IntN(16) {
	case 0, 1, 2: // a URL
		w.spoil(u, simFault(w.rand.IntN(int(simFaults))))
	case 3: // a whole region
		f := simFault(w.rand.IntN(int(simFaults)))
		for _, u := range r.urls {
			w.spoil(u, f)
		}
	case 4: // a whole provider: a host that limits, or has gone
		f := simContent + 1 + simFault(w.rand.IntN(int(simFaults-simContent)-1))
		for _, u := range w.urls {
			if u.region.provider == r.provider {
				w.spoil(u, f)
			}
		}
	case 5, 6, 7: // everything is healed
		for _, u := range w.urls {
			if !u.optional || w.rand.IntN(4) == 0 {
				w.spoil(u, simHealthy)
			}
			u.lagging = nil
		}
	case 8:
		w.rotate(r)
	case 9: // it signs with a key before that is published
		if r.next == nil {
			k := w.issue(r)
			r.next = &k
		} else {
			w.rotate(r)
		}
	case 10, 11:
		w.withdraw(r)
	case 12:
		d := r.doc.clone()
		u.lagging = &d
		u.note(w)
	case 13:
		w.clocks()
	case 14:
		w.flooding = w.rand.IntN(3)
	case 15:
		w.move(r)
	}
}

// withdraw withdraws all keys but the signing one, or one of the others, or lists one again that was withdrawn.
func (w *simWorld) withdraw(r *simRegion) {
	if len(r.former) > 0 && w.rand.IntN(3) == 0 {
		k := r.former[len(r.former)-1-w.rand.IntN(min(3, len(r.former)))]
		r.former = slices.DeleteFunc(r.former, func(o simKey) bool { return o == k })
		w.publish(r, k)
		return
	}
	n := len(r.doc.keys) - 1
	if w.rand.IntN(2) == 0 {
		n = min(n, 1)
	}
	r.doc = r.doc.clone()
	r.former = append(r.former, r.doc.keys[:n]...)
	r.doc.keys = r.doc.keys[n:]
}

// clocks freezes the process, or sets the clock on the wall. Both may fill the budgets of the process.
func (w *simWorld) clocks() {
	for _, u := range w.urls {
		u.asked = nil
	}
	if w.rand.IntN(2) == 0 {
		w.frozen += time.Duration(w.rand.Int64N(int64(8 * time.Hour)))
		for _, u := range w.urls {
			u.copy = nil
		}
		return
	}
	w.ahead = time.Duration(w.rand.Int64N(int64(4*time.Hour))) - 2*time.Hour
}

// move moves the key set of a region whose URLs are discovered.
func (w *simWorld) move(r *simRegion) {
	for _, u := range r.urls {
		if u.document != "" {
			u.place++
			u.moved = w.truth()
			u.copy = nil
			u.note(w)
			d := r.doc.clone()
			u.thin = d // what the places before go on serving
		}
	}
}

func (w *simWorld) spoil(u *simURL, f simFault) {
	if u.fault != f || u.lagging != nil {
		u.note(w)
	}
	u.fault, u.dead, u.only = f, w.generation, 0
	if u.document != "" {
		u.only = w.rand.IntN(3)
		if f <= simContent {
			u.only = 1
		}
	}
	if f == simFlapping {
		u.thin = w.published(u).clone()
		if n := len(u.thin.keys); n > 1 {
			i := w.rand.IntN(n)
			u.thin.keys = slices.Delete(u.thin.keys, i, i+1)
		}
	}
}

// note notes that something has changed about u.
func (u *simURL) note(w *simWorld) { u.changed, u.calm = w.truth(), w.lived() }

// renew notes that the client has forgotten u. It reads no snapshot of a set that answers.
func (u *simURL) renew() { u.epoch, u.asked, u.good = u.epoch+1, nil, false }
