package replica_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// words is a document that only grows.
type words struct {
	epoch uint64
	set   string // sorted words with spaces between them
}

func wordsOf(epoch uint64, all ...string) *words {
	slices.Sort(all)
	return &words{epoch, strings.Join(slices.Compact(all), " ")}
}

var noWords = &words{}

func (w *words) Epoch() uint64                 { return w.epoch }
func (w *words) WithEpoch(epoch uint64) *words { return &words{epoch, w.set} }

func (w *words) Merge(other *words, _ time.Time) (*words, bool) {
	m := wordsOf(max(w.epoch, other.epoch), append(strings.Fields(w.set), strings.Fields(other.set)...)...)
	if m.set == w.set && m.epoch == w.epoch {
		return w, false
	}
	return m, m.set != w.set
}

func (w *words) IsIn(other *words, _ time.Time) bool {
	theirs := strings.Fields(other.set)
	return !slices.ContainsFunc(strings.Fields(w.set), func(s string) bool { return !slices.Contains(theirs, s) })
}

// shelf is a store that can be down, hang, and lose answers.
type shelf struct {
	memory
	state  sync.Mutex
	down   bool
	hangs  bool
	loses  bool
	writes int
}

func (s *shelf) set(down, hangs bool) {
	s.state.Lock()
	defer s.state.Unlock()
	s.down, s.hangs = down, hangs
}

func (s *shelf) reach(ctx context.Context) error {
	s.state.Lock()
	down, hangs := s.down, s.hangs
	s.state.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if down {
		return errors.New("down")
	}
	return nil
}

func (s *shelf) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := s.reach(ctx); err != nil {
		return nil, "", err
	}
	return s.memory.Load(ctx, name, ifNot)
}

func (s *shelf) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := s.reach(ctx); err != nil {
		return "", err
	}
	revision, err := s.memory.Save(ctx, name, data, ifRevision)
	s.state.Lock()
	defer s.state.Unlock()
	if err == nil {
		s.writes++
	}
	if err == nil && s.loses {
		s.loses = false
		return "", errors.New("the answer was lost")
	}
	return revision, err
}

func (s *shelf) has() string {
	data, _, err := s.memory.Load(context.Background(), "d", "")
	if err != nil {
		return ""
	}
	_, text, _ := strings.Cut(string(data), ":")
	return text
}

func (s *shelf) place(epoch uint64, all ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.memory.set("d", document{encode(wordsOf(epoch, all...)), fmt.Sprint(s.n)})
}

func encode(w *words) []byte { return fmt.Appendf(nil, "%d:%s", w.epoch, w.set) }

// fixture is a replica of shelves.
type fixture struct {
	*replica.Replica[*words]
	decoded atomic.Int64
	cost    time.Duration // of decoding
	behind  time.Duration // its clock
}

func over(t *testing.T, shelves ...*shelf) *fixture {
	t.Helper()
	var c store.ReplicaConfig
	for _, s := range shelves {
		c.Stores = append(c.Stores, store.InsecureTrust(s))
	}
	return with(t, c)
}

func with(t *testing.T, c store.ReplicaConfig) *fixture {
	t.Helper()
	require.Empty(t, replica.Check(c))
	f := &fixture{}
	f.Replica = replica.New(replica.Config[*words]{
		ReplicaConfig: replica.Default(c, "d"), Empty: noWords, Now: func() time.Time { return time.Now().Add(-f.behind) }, Logger: slog.New(slog.DiscardHandler),
		Encode: func(w *words) ([]byte, error) { return encode(w), nil },
		Decode: func(data []byte) (*words, error) {
			f.decoded.Add(1)
			time.Sleep(f.cost)
			w := &words{}
			if _, err := fmt.Sscanf(string(data), "%d:", &w.epoch); err != nil {
				return nil, err
			}
			_, w.set, _ = strings.Cut(string(data), ":")
			return w, nil
		},
		Changed: func(_, _ *replica.State[*words]) {},
	})
	return f
}

func (f *fixture) say(t *testing.T, word string) error {
	t.Helper()
	return f.Change(t.Context(), func(w *words) (*words, error) {
		return wordsOf(w.epoch, append(strings.Fields(w.set), word)...), nil
	})
}

// run runs a replica to the end of the test.
func (f *fixture) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

func (f *fixture) problems() (all []string) {
	for _, s := range f.State().Status.Stores {
		all = append(all, s.Problem)
	}
	return all
}

// A change succeeds where one store accepts it, the state tells of the others, and these are written when they return.
func TestAChangeNeedsOneStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b, c := &shelf{}, &shelf{}, &shelf{}
		f := over(t, a, b, c)
		f.run(t)
		b.set(true, false)
		c.set(false, true)
		began := time.Now()
		require.NoError(t, over(t, a, b).say(t, "one"), "one of two has it")
		require.NoError(t, f.say(t, "one"))
		require.LessOrEqual(t, time.Since(began), 2*time.Second, "the store that hangs holds nothing up")
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"", "unavailable", "unavailable"}, f.problems())
		require.Equal(t, []string{"one", "", ""}, []string{a.has(), b.has(), c.has()})
		b.set(false, false)
		c.set(false, false)
		time.Sleep(4 * time.Second)
		require.Equal(t, []string{"one", "one", "one"}, []string{a.has(), b.has(), c.has()})
		require.Equal(t, []string{"", "", ""}, f.problems())
		for _, s := range []*shelf{a, b, c} {
			s.set(true, false)
		}
		began = time.Now()
		err := f.say(t, "two")
		require.ErrorIs(t, err, store.ErrNotShared)
		require.Zero(t, time.Since(began))
		for i := range 3 {
			require.ErrorContains(t, err, fmt.Sprintf("store %d", i))
		}
		require.Equal(t, "one two", f.State().Document.set, "it is in effect here")
		a.set(false, false)
		time.Sleep(4 * time.Second)
		require.Equal(t, "one two", a.has(), "%v %v", f.State().Failures, f.problems())
	})
}

// What different stores say is merged, each is written what it misses, and then nothing is written any more.
func TestStoresThatDifferAreMerged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := &shelf{}, &shelf{}
		a.place(3, "west")
		b.place(9, "east")
		reader := with(t, store.ReplicaConfig{Stores: []store.Trusted{readOnly(a), readOnly(b)}})
		reader.run(t)
		time.Sleep(time.Second)
		require.Equal(t, "east west", reader.State().Document.set)
		require.Equal(t, []string{"", ""}, reader.problems(), "somebody may be about to write them")
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"rolled_back", "rolled_back"}, reader.problems(), "a reader cannot write")
		writers := []*fixture{over(t, a, b), over(t, a, b)}
		for _, w := range writers {
			w.run(t)
		}
		time.Sleep(3 * time.Second)
		require.Equal(t, []string{"east west", "east west"}, []string{a.has(), b.has()})
		require.Equal(t, []string{"", ""}, reader.problems())
		require.Greater(t, reader.State().Document.epoch, uint64(9))
		writes := a.writes + b.writes
		time.Sleep(time.Hour)
		require.Equal(t, writes, a.writes+b.writes, "they do not write on and on")
	})
}

// readOnly is a store that this process cannot write.
func readOnly(s store.Store) store.Trusted { return store.InsecureTrust(reading{s}) }

type reading struct{ store.Store }

func (reading) TrustInfo() trust.Info { return trust.Info{ReadOnly: true} }

func (reading) Save(context.Context, string, []byte, string) (string, error) {
	return "", errors.New("no key")
}

// A write whose answer was lost has succeeded if the store has the document.
func TestALostAnswer(t *testing.T) {
	t.Parallel()
	a := &shelf{loses: true}
	f := over(t, a)
	require.NoError(t, f.say(t, "one"))
	require.Equal(t, "one", a.has())
	require.Equal(t, 1, a.writes, "it is not written twice")
}

// The first answer does not make the document known while another store may know more.
func TestTheFirstLoadWaitsForEveryStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rolledBack, good := &shelf{}, &shelf{}
		rolledBack.place(1, "old")
		good.place(2, "old", "new")
		good.set(false, true)
		f := over(t, rolledBack, good)
		f.run(t)
		time.Sleep(time.Second)
		require.False(t, f.State().Known)
		require.Equal(t, "old", f.State().Document.set, "what it says counts")
		time.Sleep(1500 * time.Millisecond)
		require.True(t, f.State().Known, "the other one has failed")
		one := over(t, rolledBack, good)
		began := time.Now()
		require.NoError(t, one.Load(t.Context()))
		require.InDelta(t, 2*time.Second, time.Since(began), float64(300*time.Millisecond))
		began = time.Now()
		require.NoError(t, one.Load(t.Context()))
		require.Equal(t, 250*time.Millisecond, time.Since(began), "a later load uses what has answered")
		good.set(false, false)
		require.NoError(t, one.Load(t.Context()))
		require.Equal(t, "new old", one.State().Document.set)
		require.Equal(t, []string{"rolled_back", ""}, one.problems())
	})
}

// A writer without a key who brings ever more old documents costs a twentieth of the time.
func TestUselessDecodingIsRare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &shelf{}
		f := over(t, a)
		f.cost = 100 * time.Millisecond
		a.place(1000, "one")
		f.run(t)
		for i := range 6000 {
			a.place(uint64(i%999), "one")
			time.Sleep(100 * time.Millisecond)
		}
		require.Less(t, f.decoded.Load(), int64(600*10/20+10))
		require.Greater(t, f.decoded.Load(), int64(100))
	})
}

// A writer without a key who puts back large documents that are known, as often as there are hints, has them loaded rarely.
func TestKnownDocumentsAreLoadedRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &moody{hints: make(chan struct{})}
		f := with(t, store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(a)}})
		docs := []string{"1:one", "2:one " + strings.Repeat("w", 1<<20)}
		f.run(t)
		for i := range 2000 {
			a.mood.Lock()
			other := a.calls % 2
			a.mood.Unlock()
			a.mu.Lock()
			a.set("d", document{[]byte(docs[other]), fmt.Sprint(i)})
			a.mu.Unlock()
			select {
			case a.hints <- struct{}{}:
			default:
			}
			time.Sleep(10 * time.Millisecond)
		}
		require.Less(t, a.loaded(), 100, "half a second for each MiB")
	})
}

// A document that was merged is not decoded again, in whichever store it is.
func TestADocumentIsDecodedOnce(t *testing.T) {
	t.Parallel()
	a, b := &shelf{}, &shelf{}
	f := over(t, a, b)
	for range 5 {
		for i := range 10 {
			a.place(uint64(i), "one")
			b.place(uint64(9-i), "one")
			require.NoError(t, f.Load(t.Context()))
		}
	}
	require.Equal(t, int64(10), f.decoded.Load())
}

// A store whose calls do not return holds up nothing, and has few of them.
func TestAStoreThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	stuck := &blocking{release: make(chan struct{})}
	good := &shelf{}
	f := with(t, store.ReplicaConfig{Stores: []store.Trusted{store.InsecureTrust(good), store.InsecureTrust(stuck)}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	for range 20 {
		_ = f.Load(ctx)
	}
	require.NoError(t, f.say(t, "one"))
	require.LessOrEqual(t, stuck.calls.Load(), int64(6))
	close(stuck.release)
}
