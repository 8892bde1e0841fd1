package jwks

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/store"
)

const (
	snapshotVersion = 1
	snapshotTime    = 2 * time.Second // to load or save one
	snapshotsPerAge = 24              // an unchanged set is saved again after this part of MaxStale
	maxAhead        = 5 * time.Minute // by which the clock of the writer may be ahead
	maxSnapshotKeys = 1000
)

var errSnapshot = errors.New("not a snapshot of this key set")

// snapshotName is the name of a set's document. Its URLs are in the name's hash, and in the document once more.
func snapshotName(s *set) string {
	sum := sha256.Sum256([]byte(s.id))
	return "jwks/" + hex.EncodeToString(sum[:16])
}

type snapshotKey struct {
	JWK   json.RawMessage `json:"jwk"`
	First int64           `json:"first"` // unix, in nanoseconds, as all times
	Seen  int64           `json:"seen"`
	By    []string        `json:"by"` // the mirrors that list it: their URLs, or the iss that those are discovered from
}

type snapshot struct {
	Version int           `json:"version"`
	Set     string        `json:"set"`
	Good    int64         `json:"good"`
	Keys    []snapshotKey `json:"keys"`
}

// encode writes what s knows. The caller holds mu.
func (s *set) encode() ([]byte, error) {
	out := snapshot{Version: snapshotVersion, Set: s.id, Good: s.good.load().wall}
	for _, r := range s.records {
		jwk, err := r.key.JWK()
		if err != nil {
			return nil, err
		}
		k := snapshotKey{JWK: jwk, First: r.first.wall, Seen: r.seen.load().wall}
		for _, l := range r.by {
			k.By = append(k.By, l.ep.name())
		}
		out.Keys = append(out.Keys, k)
	}
	return json.Marshal(out)
}

// decodeSnapshot reads a document for s by the rules of key sets, and returns the records that are young enough, with the
// time of the last good answer. The caller holds mu.
func (s *set) decodeSnapshot(doc []byte, now instant, allowed []string) (good instant, records []*record, err error) {
	top, err := strictjson.Parse(nil, string(doc))
	if err != nil {
		return good, nil, err
	}
	at, ok := pastInstant(strictjson.Find(top, "good"), now)
	version, set := strictjson.Find(top, "version"), strictjson.Find(top, "set")
	if version.Raw() != strconv.Itoa(snapshotVersion) || !set.Is(s.id) || !ok {
		return good, nil, errSnapshot
	}
	for v := range strictjson.Find(top, "keys").Elements() {
		r, err := s.decodeRecord(v, now, allowed)
		if err != nil || len(records) >= maxSnapshotKeys {
			return good, nil, errSnapshot
		}
		if r != nil && now.since(r.seen.load()) <= s.config.MaxStale {
			records = slices.DeleteFunc(records, func(o *record) bool { return o.id() == r.id() })
			records = append(records, r)
		}
	}
	return at, records, nil
}

// decodeRecord reads one key; nil where it must not be used.
func (s *set) decodeRecord(v strictjson.Value, now instant, allowed []string) (*record, error) {
	var members []strictjson.Member
	for m := range v.Members() {
		members = append(members, m)
	}
	first, okFirst := pastInstant(strictjson.Find(members, "first"), now)
	seen, okSeen := pastInstant(strictjson.Find(members, "seen"), now)
	if !okFirst || !okSeen {
		return nil, errSnapshot
	}
	key, why := jose.ParseKey(strictjson.Find(members, "jwk"))
	if why != "" || jose.IsForbidden(key, allowed) {
		return nil, nil // a rule that is stricter than when it was written
	}
	r := &record{key: key, first: first, seen: new(sighting)}
	r.seen.store(seen)
	for name := range strictjson.Find(members, "by").Elements() {
		i := slices.IndexFunc(s.endpoints, func(ep *endpoint) bool { return name.Is(ep.name()) })
		if i < 0 {
			return nil, errSnapshot
		}
		r.listedBy(s.endpoints[i])
	}
	return r, nil
}

// pastInstant turns a time of another process into one of ours. What is a little ahead counts as now; ok is false for what
// is further ahead, or no time at all.
func pastInstant(v strictjson.Value, now instant) (t instant, ok bool) {
	wall, err := strconv.ParseInt(v.Raw(), 10, 64)
	if err != nil || wall <= 0 || wall-now.wall > int64(maxAhead) {
		return t, false
	}
	age := max(0, now.wall-wall)
	return instant{mono: now.mono - age, wall: now.wall - age}, true
}

// load reads a document, and waits no longer than it should.
func (c *Cache) load(ctx context.Context, name string) (store.Document, error) {
	type result struct {
		doc store.Document
		err error
	}
	r, err := stored(ctx, c, func() result {
		doc, err := c.config.Store.Load(ctx, name)
		return result{doc, guard.Sound("the error of the store", err)}
	})
	return r.doc, cmp.Or(err, r.err)
}

// write replaces a document, and waits no longer than it should.
func (c *Cache) write(ctx context.Context, name string, data []byte, ifRevision string) error {
	failed, err := stored(ctx, c, func() error {
		_, err := c.config.Store.Save(ctx, name, data, ifRevision)
		return guard.Sound("the error of the store", err)
	})
	return cmp.Or(err, failed)
}

// stored calls the Store, unless too many calls have not returned when they should.
func stored[T any](ctx context.Context, c *Cache, call func() T) (result T, err error) {
	if c.stuck.Load() >= maxStuck {
		return result, errStuck
	}
	var settled atomic.Bool // by whoever is first: the call, or its time
	result, err = bounded(ctx, "the store", func() T {
		defer func() {
			if settled.Swap(true) {
				c.stuck.Add(-1)
			}
		}()
		return call()
	})
	if !errors.Is(err, errStuck) {
		return result, err
	}
	c.stuck.Add(1)
	if settled.Swap(true) { // it has returned in this moment
		c.stuck.Add(-1)
	}
	return result, errStuck
}

// restore fills an empty set from its snapshot. Whatever was fetched meanwhile counts; a snapshot never overrides it.
func (c *Cache) restore(ctx context.Context, s *set, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	doc, err := c.load(ctx, snapshotName(s))
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	now := c.clock()
	var good instant
	var records []*record
	s.mu.Lock()
	source := s.endpoints[0].name()
	if err == nil {
		good, records, err = s.decodeSnapshot(doc.Data, now, c.config.InsecurePublishedKeys)
	}
	used := s.view.Load() == nil && len(records) > 0
	if used {
		s.records = records
		s.restored = true
		for _, r := range records {
			for _, l := range r.by {
				l.ep.known = true
			}
		}
		s.good.store(good)
		s.freshUntil.store(good.plus(s.config.Refresh))
		s.publish()
		f.tell()
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		c.log.Warn("snapshot is not used", "source", source, "why", err)
	case used:
		c.log.Info("keys come from a snapshot", "source", source, "regions", regionsOf{c.table.Load(), s},
			"keys", len(records), "age", now.since(good))
		c.changed()
	}
}

// save writes the snapshot of s where its keys changed, or the last one has aged. Another process that shares the store
// may have written a younger one; then that stays.
func (c *Cache) save(ctx context.Context, s *set) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	now := c.clock()
	s.mu.Lock()
	due := s.unsaved || now.since(s.saved) >= s.config.MaxStale/snapshotsPerAge
	if !due || s.saving || s.restored {
		s.mu.Unlock()
		return
	}
	s.saving, s.unsaved = true, false
	mine := s.good.load()
	data, err := s.encode()
	s.mu.Unlock()
	if err == nil {
		err = c.replaceSnapshot(ctx, s, data, mine)
	}
	s.mu.Lock()
	first, source := err != nil && s.saveErr == nil, s.endpoints[0].name()
	s.saving, s.saved, s.saveErr = false, now, err
	if err != nil {
		s.unsaved = true
	}
	s.mu.Unlock()
	if first {
		c.log.Warn("snapshot cannot be saved", "source", source, "why", err)
	}
}

func (c *Cache) replaceSnapshot(ctx context.Context, s *set, data []byte, mine instant) error {
	name := snapshotName(s)
	for try := 0; ; try++ {
		old, err := c.load(ctx, name)
		switch {
		case err == nil:
			s.mu.Lock()
			good, _, err := s.decodeSnapshot(old.Data, c.clock(), c.config.InsecurePublishedKeys)
			s.mu.Unlock()
			if err == nil && good.wall > mine.wall {
				return nil
			}
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrNotAuthentic):
			return err
		}
		err = c.write(ctx, name, data, old.Revision)
		if !errors.Is(err, store.ErrConflict) || try == 2 {
			return err
		}
	}
}
