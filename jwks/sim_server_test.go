package jwks_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// simTransport carries the requests of one process. Connections that have died are given up with the idle ones.
type simTransport struct{ *simWorld }

// CloseIdleConnections is what http.Client calls.
func (t simTransport) CloseIdleConnections() {
	t.mu.Lock()
	t.generation++
	t.mu.Unlock()
}

// simReply is what a server has decided to answer.
type simReply struct {
	fault  simFault
	delay  time.Duration
	status int
	header http.Header
	body   []byte
	told   *simAnswer // a good answer
}

// RoundTrip serves the URLs with their faults, and notes the good answers that were delivered.
func (t simTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	u, reply := t.hear(r)
	timer := time.NewTimer(reply.delay)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-timer.C:
	}
	if reply.fault == simRefusing {
		return nil, errors.New("connection refused")
	}
	if reply.told != nil {
		t.mu.Lock()
		if reply.told.epoch == u.epoch {
			reply.told.came = t.lived()
			u.answers = append(u.answers, *reply.told)
			u.good, u.ever = true, true
			if reply.status == http.StatusOK {
				u.whole = reply.told.keys
			}
		}
		t.mu.Unlock()
	}
	return &http.Response{
		StatusCode: reply.status, Header: reply.header, Request: r, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(reply.body)),
	}, nil
}

// hear decides what a request is answered with.
func (w *simWorld) hear(r *http.Request) (*simURL, simReply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, place := w.find(r.URL.String())
	if u == nil { // metadata of another standard
		return nil, simReply{delay: time.Millisecond, status: http.StatusNotFound}
	}
	return u, w.reply(u, place, r)
}

// find returns the URL, and the place of a key set that was discovered; -1 is its document.
func (w *simWorld) find(url string) (u *simURL, place int) {
	if u = w.byURL[url]; u != nil {
		if u.document != "" {
			return u, -1
		}
		return u, 0
	}
	i := strings.LastIndexByte(url, '/') + 1
	place, _ = strconv.Atoi(url[i:])
	return w.byURL[url[:i]], place
}

// reply decides what a request is answered with. The caller holds mu.
func (w *simWorld) reply(u *simURL, place int, r *http.Request) simReply {
	u.count++
	if place >= 0 {
		u.asked = append(u.asked, w.lived())
	}
	lot := w.number(u.count, uint64(slices.Index(w.urls, u)), 7)
	a := simReply{fault: u.fault, status: http.StatusOK, header: http.Header{}}
	a.delay = time.Millisecond + time.Duration(lot%40_000_000)
	if u.document != "" && (u.only == 1 && place < 0 || u.only == 2 && place >= 0) {
		a.fault = simHealthy
	}
	if a.fault == simDead && u.dead != w.generation {
		a.fault = simHealthy
	}
	switch a.fault {
	case simDead, simHanging:
		a.delay = time.Hour
	case simSlow:
		a.delay += 1200 * time.Millisecond
	case simErroring:
		a.status = http.StatusInternalServerError
	case simMissing:
		a.status = http.StatusNotFound
	case simLimiting:
		a.status = http.StatusTooManyRequests
		if u.retryAfter > 0 {
			a.header.Set("Retry-After", strconv.Itoa(u.retryAfter))
		}
	case simGarbage:
		a.body = []byte("<html>")
	case simEmpty:
		a.body = []byte(`{"keys":[]}`)
	case simRefusing:
	case simHealthy, simFlapping, simForeign, simContent, simHalf, simFaults:
		w.serve(&a, u, place, lot, r)
	}
	if a.fault == simSlow {
		w.serve(&a, u, place, lot, r)
	}
	return a
}

// serve answers with a document.
func (w *simWorld) serve(a *simReply, u *simURL, place int, lot uint64, r *http.Request) {
	if place < 0 {
		a.body = fmt.Appendf(nil, `{"issuer":%q,"jwks_uri":%q}`, u.region.iss, fmt.Sprint(u.url, u.place))
		return
	}
	keys := slices.Clone(w.published(u).keys)
	switch {
	case u.document != "" && place != u.place: // it was moved from there: gone, or left alone
		if place%2 == 0 {
			a.status = http.StatusNotFound
			return
		}
		keys = slices.Clone(u.thin.keys)
	case a.fault == simFlapping && lot>>40%2 == 0:
		keys = slices.Clone(u.thin.keys)
	}
	age := time.Duration(0)
	if u.ttl > 0 && place == u.place {
		if u.copy != nil && w.truth()-u.copied < u.ttl && (!u.honors || r.Header.Get("Cache-Control") != "no-cache") {
			keys, age = u.copy, w.truth()-u.copied
		} else {
			u.copy, u.copied = keys, w.truth()
		}
		age = (age + time.Second - 1).Truncate(time.Second)
		a.header.Set("Age", strconv.Itoa(int(age.Seconds())))
	}
	if u.maxAge > 0 {
		a.header.Set("Cache-Control", fmt.Sprintf("public, max-age=%d", u.maxAge))
	}
	a.body = w.render(keys)
	tag := `"v1"`
	if u.etag == 1 {
		tag = fmt.Sprintf(`"%v"`, keys)
	}
	if u.etag > 0 {
		a.header.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			a.status, a.body = http.StatusNotModified, nil
			keys = u.whole
		}
	}
	if a.fault == simHalf {
		a.body = a.body[:len(a.body)/2]
		if a.status == http.StatusOK {
			return
		}
	}
	a.told = &simAnswer{
		lived: w.lived() - age, wall: w.wall() - int64(age), keys: keys, epoch: u.epoch, aside: u.document != "" && place != u.place,
	}
}

func (w *simWorld) render(keys []simKey) []byte {
	list := make([]map[string]any, 0, len(keys))
	for _, k := range keys {
		m := maps.Clone(w.jwks[k.material])
		m["kid"] = k.kid
		list = append(list, m)
	}
	doc, _ := json.Marshal(map[string]any{"keys": list})
	return doc
}

// simShelf is a store in memory.
type simShelf struct {
	store.Trusted

	mu   sync.Mutex
	docs map[string]kept
	n    int
}

func (*simShelf) TrustInfo() trust.Info { return trust.Info{} }

func (s *simShelf) Load(_ context.Context, name, _ string) ([]byte, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.docs[name]; ok {
		return d.Data, d.Revision, nil
	}
	return nil, "", store.ErrNotFound
}

func (s *simShelf) Save(_ context.Context, name string, data []byte, ifRevision string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.docs[name].Revision != ifRevision {
		return "", store.ErrConflict
	}
	if s.docs == nil {
		s.docs = map[string]kept{}
	}
	s.n++
	d := kept{Data: slices.Clone(data), Revision: strconv.Itoa(s.n)}
	s.docs[name] = d
	return d.Revision, nil
}
