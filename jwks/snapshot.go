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
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/clock"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/jwks/internal/keystate"
	"github.com/regionjwt/regionjwt/store"
)

const (
	snapshotVersion = 2
	snapshotTime    = 2 * time.Second // to read or save one
	snapshotsPerAge = 24              // an unchanged set is saved again after this part of MaxStale
	maxAhead        = 5 * time.Minute // by which the clock of the writer may be ahead
	maxStuck        = 64              // calls to the Store that have not returned in time, beyond which it is not called
)

var errSnapshot = errors.New("not a snapshot of this key set")

// copies is what is known of the snapshots of a set. The set's mutex guards it.
type copies struct {
	saved  clock.Time // when the last one was saved, or tried
	digest [32]byte   // of what it says, but its times
	saving bool
	failed bool // the last one could not be saved
}

// snapshotName is the name of a set's document. Its URLs are in the name's hash, and in the document once more.
func snapshotName(s *set) string {
	sum := sha256.Sum256([]byte(s.id()))
	return "jwks/" + hex.EncodeToString(sum[:16])
}

// The document: times are Unix times in nanoseconds, 0 means never.
type (
	snapshot struct {
		Version int           `json:"version"`
		Set     string        `json:"set"`
		URLs    []snapshotURL `json:"urls"`
	}
	snapshotURL struct {
		Name     string        `json:"name"` // the URL, or the issuer that it is discovered from
		Good     int64         `json:"good"`
		Returned int64         `json:"returned"`
		Keys     []snapshotKey `json:"keys"`
	}
	snapshotKey struct {
		JWK    json.RawMessage `json:"jwk"`
		First  int64           `json:"first"`
		Last   int64           `json:"last"`
		Misses int             `json:"misses"`
		Since  int64           `json:"since"`
		At     int64           `json:"at"`
		Once   bool            `json:"once,omitempty"`
	}
)

// encode writes what the set knows, and returns a digest of that without the times that every answer changes.
func (s *set) encode() (data []byte, digest [32]byte, err error) {
	out := snapshot{Version: snapshotVersion, Set: s.id()}
	plain := sha256.New()
	for _, sl := range s.slots {
		st := sl.current()
		if !st.Known {
			continue
		}
		u := snapshotURL{Name: sl.name(), Good: st.Good.Wall, Returned: st.Returned.Wall}
		for i := range st.Listed {
			l := &st.Listed[i]
			jwk, err := l.Key.JWK()
			if err != nil {
				return nil, digest, err
			}
			k := snapshotKey{JWK: jwk, First: l.First.Wall, Last: l.Last.Wall}
			if l.Miss != nil {
				k.Misses, k.Since, k.At, k.Once = l.Miss.Count, l.Miss.Since.Wall, l.Miss.At.Wall, l.Miss.Once
			}
			u.Keys = append(u.Keys, k)
			_, _ = plain.Write(append(jwk, byte(min(k.Misses, 255))))
		}
		_, _ = plain.Write([]byte(u.Name + strconv.FormatInt(u.Returned, 10)))
		out.URLs = append(out.URLs, u)
	}
	plain.Sum(digest[:0])
	data, err = json.Marshal(out)
	return data, digest, err
}

// decode reads a document, and returns what it says of each slot, and the time of the newest good answer.
func (s *set) decode(doc []byte, now clock.Time, c *Config) (events []keystate.Event, good int64, err error) {
	top, err := strictjson.Parse(nil, string(doc))
	if err != nil {
		return nil, 0, err
	}
	if strictjson.Find(top, "version").Raw() != strconv.Itoa(snapshotVersion) || !strictjson.Find(top, "set").Is(s.id()) {
		return nil, 0, errSnapshot
	}
	events = make([]keystate.Event, len(s.slots))
	for v := range strictjson.Find(top, "urls").Elements() {
		members := membersOf(v)
		name := strictjson.Find(members, "name")
		i := slices.IndexFunc(s.slots, func(sl *slot) bool { return name.Is(sl.name()) })
		if i < 0 {
			return nil, 0, errSnapshot
		}
		e := keystate.Event{Kind: keystate.Restored}
		at, okGood := pastTime(members, "good", now)
		returned, okReturned := pastTime(members, "returned", now)
		if !okGood || !okReturned || at.IsZero() {
			return nil, 0, errSnapshot
		}
		e.Made, e.Returned = at, returned
		good = max(good, at.Wall)
		for k := range strictjson.Find(members, "keys").Elements() {
			l, ok, err := decodeKey(k, now, c)
			if err != nil || len(e.Listed) >= 2*c.MaxKeys {
				return nil, 0, errSnapshot
			}
			if ok {
				e.Listed = append(e.Listed, l)
			}
		}
		events[i] = e
	}
	return events, good, nil
}

// decodeKey reads one key. ok is false if it must not be used: a rule is stricter than when it was written, or it is too old.
func decodeKey(v strictjson.Value, now clock.Time, c *Config) (l keystate.Listing, ok bool, err error) {
	members := membersOf(v)
	first, okFirst := pastTime(members, "first", now)
	last, okLast := pastTime(members, "last", now)
	since, okSince := pastTime(members, "since", now)
	at, okAt := pastTime(members, "at", now)
	misses, errMisses := strconv.Atoi(strictjson.Find(members, "misses").Raw())
	if !okFirst || !okLast || !okSince || !okAt || errMisses != nil || misses < 0 || first.IsZero() || last.IsZero() {
		return l, false, errSnapshot
	}
	if misses > 0 && (since.IsZero() || at.IsZero()) {
		return l, false, errSnapshot
	}
	key, why := jose.ParseKey(strictjson.Find(members, "jwk"), c.MaxRSABits)
	if why != "" || jose.IsForbidden(key, c.InsecureKnownKeys) || now.Since(last) > c.MaxStale {
		return l, false, nil
	}
	l = keystate.Listing{Key: key, First: first, Last: last}
	if misses > 0 {
		once := strictjson.Find(members, "once").Raw() == "true"
		l.Miss = &keystate.Miss{Count: misses, Since: since, At: at, Once: once}
	}
	return l, true, nil
}

func membersOf(v strictjson.Value) (members []strictjson.Member) {
	for m := range v.Members() {
		members = append(members, m)
	}
	return members
}

// pastTime turns a time of another process into one of ours. A time that is a little ahead counts as now. ok is false for one
// that is further ahead, or no time at all.
func pastTime(members []strictjson.Member, name string, now clock.Time) (t clock.Time, ok bool) {
	wall, err := strconv.ParseInt(strictjson.Find(members, name).Raw(), 10, 64)
	if err != nil || wall < 0 || wall-now.Wall > int64(maxAhead) {
		return t, false
	}
	if wall == 0 {
		return t, true
	}
	return now.Add(-time.Duration(max(0, now.Wall-wall))), true
}

// restoreOnce reads the snapshot once in a round, if it may help: a URL has failed or does not answer, and the set has no usable
// keys. The caller holds the set's mutex.
func (c *Cache) restoreOnce(s *set, r *round, wg *sync.WaitGroup, helps bool) {
	if r.snapshot != snapshotUnread || !helps {
		return
	}
	r.snapshot = snapshotReading
	wg.Add(1)
	go func() {
		report := c.restore(s)
		s.mu.Lock()
		r.snapshot = snapshotOver
		s.mu.Unlock()
		r.wake()
		wg.Done()
		report() // a log handler that blocks holds up no round
	}()
}

// restore fills an empty set from its snapshot. What was fetched meanwhile takes precedence. It returns a function that writes to
// the log.
func (c *Cache) restore(s *set) (report func()) {
	ctx, cancel := context.WithTimeout(context.Background(), snapshotTime)
	defer cancel()
	data, _, err := c.load(ctx, snapshotName(s))
	if errors.Is(err, store.ErrNotFound) {
		return func() {}
	}
	now := c.clock()
	var events []keystate.Event
	if err == nil {
		events, _, err = s.decode(data, now, &c.config)
	}
	if err != nil {
		return func() { c.log.Warn("snapshot is not used", "url", s.slots[0].name(), "failure", err) }
	}
	s.mu.Lock()
	keys := 0
	if s.usable(now, c.config.limits()) {
		events = nil
	}
	for i, e := range events {
		if len(e.Listed) > 0 {
			s.apply(s.slots[i], e, c.config.limits())
			keys += len(e.Listed)
		}
	}
	s.mu.Unlock()
	if keys == 0 {
		return func() {}
	}
	s.publish()
	age := now.Since(s.lastGood()).Round(time.Second)
	return func() {
		c.log.Info("keys come from a snapshot", "url", s.slots[0].name(), "regions", regionsOf{c.table.Load(), s},
			"keys", keys, "age", age)
	}
}

// save writes the snapshot of a set if its keys changed, or the last one has aged. Another process that shares the store may have
// written a younger one; then that stays.
func (c *Cache) save(ctx context.Context, s *set) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	now := c.clock()
	data, digest, err := s.encode()
	s.mu.Lock()
	last := &s.kept().copies
	due := last.failed || digest != last.digest || now.Since(last.saved) >= c.config.MaxStale/snapshotsPerAge
	if !due || last.saving {
		s.mu.Unlock()
		return
	}
	last.saving = true
	s.mu.Unlock()
	if err == nil {
		err = c.replaceSnapshot(ctx, s, data, s.lastGood().Wall)
	}
	s.mu.Lock()
	first := err != nil && !last.failed
	*last = copies{saved: now, digest: digest, failed: err != nil}
	s.mu.Unlock()
	if first {
		c.log.Warn("snapshot cannot be saved", "url", s.slots[0].name(), "failure", err)
	}
}

func (c *Cache) replaceSnapshot(ctx context.Context, s *set, data []byte, mine int64) error {
	name := snapshotName(s)
	for try := 0; ; try++ {
		old, revision, err := c.load(ctx, name)
		switch {
		case err == nil:
			if _, good, err := s.decode(old, c.clock(), &c.config); err == nil && good > mine {
				return nil
			}
		case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrNotAuthentic):
			return err
		}
		err = c.write(ctx, name, data, revision)
		if !errors.Is(err, store.ErrConflict) || try == 2 {
			return err
		}
	}
}

// load reads a document, and waits no longer than it should.
func (c *Cache) load(ctx context.Context, name string) (data []byte, revision string, err error) {
	type result struct {
		data     []byte
		revision string
		err      error
	}
	r, err := stored(ctx, c, func() (r result) {
		load := func() { r.data, r.revision, r.err = c.config.Snapshots.Load(ctx, name, "") }
		if panicked := guard.Call("Snapshots", load); panicked != nil {
			r.err = panicked
		}
		r.err = guard.Sound("the error of Snapshots", r.err)
		return r
	})
	return r.data, r.revision, cmp.Or(err, r.err)
}

// write replaces a document, and waits no longer than it should.
func (c *Cache) write(ctx context.Context, name string, data []byte, ifRevision string) error {
	failed, err := stored(ctx, c, func() (err error) {
		save := func() { _, err = c.config.Snapshots.Save(ctx, name, data, ifRevision) }
		if panicked := guard.Call("Snapshots", save); panicked != nil {
			return panicked
		}
		return guard.Sound("the error of Snapshots", err)
	})
	return cmp.Or(err, failed)
}

// stored calls the Store, unless too many calls have not returned when they should.
func stored[T any](ctx context.Context, c *Cache, call func() T) (result T, err error) {
	if c.stuck.Load() >= maxStuck {
		return result, errStuck
	}
	result, ok := counted(ctx, &c.stuck, call)
	if !ok {
		err = errStuck
	}
	return result, err
}
