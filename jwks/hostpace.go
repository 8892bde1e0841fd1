package jwks

import (
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/label"
)

// hostPace slows a host that asks for fewer requests.
type hostPace struct {
	began          clock.Time // of the window
	answers, asked int
	sets           map[*set]struct{} // that were asked to slow down
	rate           float64           // requests a second; 0 means no bound
	next           clock.Time        // when the next request may start
	slowed         clock.Time        // when the rate was last lowered
	second         clock.Time        // begin of the second in which good answers are counted
	good, before   int               // good answers in this second and the one before
}

// urgentWait is the time until another urgent request may go.
func (o *host) urgentWait(kind int, now clock.Time) time.Duration {
	if kind == 0 {
		return 0
	}
	o.spent = max(0, o.spent-now.Since(o.filled).Seconds()*urgentRate)
	o.filled = now
	if o.spent+1 <= urgentBurst+1e-9 {
		return 0
	}
	return time.Duration((o.spent + 1 - urgentBurst) / urgentRate * float64(time.Second))
}

// wait is the time until another request may go to a host that is slowed.
func (p *hostPace) wait(now clock.Time) time.Duration {
	if p.rate == 0 {
		return 0
	}
	return now.Until(p.next)
}

// answered notes the outcome of a request to a host. If enough sets were asked for fewer requests, the host is slowed to the rate
// at which it gave good answers, which then grows until it asks again.
func (h *hosts) answered(t *ticket, f *failure) {
	now := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if f == nil {
		t.host.served = now
	}
	if f == nil || f.label != label.Timeout {
		t.host.heard = now
	}
	limited := f != nil && f.limited()
	p := &t.host.pace
	if now.Since(p.began) >= paceWindow {
		p.began, p.answers, p.asked, p.sets = now, 0, 0, nil
	}
	if passed := now.Since(p.second); passed >= time.Second {
		p.before, p.good, p.second = p.good, 0, now
		if p.rate > 0 && !limited {
			if p.rate *= paceGrowth; p.rate > paceMost {
				p.rate = 0
			}
		}
	}
	p.answers++
	if !limited {
		p.good++
		return
	}
	p.asked++
	if p.sets == nil {
		p.sets = map[*set]struct{}{}
	}
	p.sets[t.set] = struct{}{}
	if len(p.sets) < paceSets || p.asked*4 < p.answers {
		return
	}
	slower := max(1, p.rate/2, 0.9*float64(max(p.good, p.before)))
	if p.rate == 0 || slower < p.rate && now.Since(p.slowed) >= time.Second {
		p.rate, p.slowed = slower, now
		p.next = now.Add(time.Duration(float64(time.Second) / p.rate))
	}
}

// serves reports whether the host of a ticket has given a good answer within d.
func (h *hosts) serves(t *ticket, d time.Duration) bool {
	now := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return !t.host.served.IsZero() && now.Since(t.host.served) < d
}

// silence returns for how long a ticket has waited for a host that answered nobody meanwhile.
func (h *hosts) silence(t *ticket) time.Duration {
	now := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(now.Since(t.since), now.Since(t.host.heard))
}
