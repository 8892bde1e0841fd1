package jwks

import (
	"context"
	"net/url"
	"sync"

	"golang.org/x/sync/semaphore"
)

// hosts bounds the requests in progress to each host, one share for each purpose. There is no bound over all hosts.
type hosts struct {
	mu    sync.Mutex
	inUse map[string]*hostSlots
}

type hostSlots struct {
	users int // that hold a slot or wait for one; guarded by the mutex of hosts
	slots [2]*semaphore.Weighted
}

// acquire waits for a slot of the host of rawURL.
func (h *hosts) acquire(ctx context.Context, rawURL string, p purpose) (release func(), err error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	if h.inUse == nil {
		h.inUse = map[string]*hostSlots{}
	}
	s := h.inUse[u.Host]
	if s == nil {
		s = &hostSlots{slots: [2]*semaphore.Weighted{
			semaphore.NewWeighted(hostConnections), semaphore.NewWeighted(hostConnections),
		}}
		h.inUse[u.Host] = s
	}
	s.users++
	h.mu.Unlock()
	if err := s.slots[p].Acquire(ctx, 1); err != nil {
		h.leave(u.Host, s)
		return nil, err
	}
	return func() {
		s.slots[p].Release(1)
		h.leave(u.Host, s)
	}, nil
}

// leave forgets a host that nobody uses.
func (h *hosts) leave(host string, s *hostSlots) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.users--; s.users == 0 {
		delete(h.inUse, host)
	}
}
