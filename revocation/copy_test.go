package revocation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

func subjectRule(i int) revocation.Rule {
	return revocation.Rule{Provider: "*", Subject: fmt.Sprint(i)}
}

func newList(t *testing.T, c revocation.Config) *revocation.List {
	t.Helper()
	l, err := revocation.New(c)
	require.NoError(t, err)
	return l
}

// restarted is a List that knows what the copy holds, and no more.
func restarted(t *testing.T, copied store.Trusted) *revocation.List {
	t.Helper()
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{&memory{down: true}}, LocalCopy: copied}})
	require.ErrorIs(t, l.Load(t.Context()), errDown)
	return l
}

// Several processes that share a copy, each with several writers, none of which has read it before, lose no rule of it.
func TestCopyLosesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "copy")
	old := newList(t, revocation.Config{Replica: store.ReplicaConfig{LocalCopy: store.Dir(dir)}})
	_, err := old.Add(t.Context(), revocation.Rule{Provider: "*", KeyID: "of an earlier run"})
	require.NoError(t, err)
	const processes, each = 3, 12
	var wg sync.WaitGroup
	for p := range processes {
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{&memory{down: true}}, LocalCopy: store.Dir(dir)}})
		for i := range each {
			wg.Go(func() {
				_, err := l.Add(t.Context(), subjectRule(p*each+i))
				for errors.Is(err, revocation.ErrNotSaved) { // the disk is busy
					_, err = l.Add(t.Context(), subjectRule(p*each+i))
				}
				if !errors.Is(err, store.ErrNotShared) {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	require.Len(t, restarted(t, store.Dir(dir)).Rules(), 1+processes*each)
}

// A copy that hangs delays neither what the store says nor what is added to it; it is reported, and tried again.
func TestSlowCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared, copied := &memory{}, &hanging{}
		copied.hang(true)
		var changes []revocation.Status
		var out journal
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}, LocalCopy: copied}, OnChange: func(_, now revocation.Status) { changes = append(changes, now) }, Logger: slog.New(slog.NewTextHandler(&out, nil))})
		other := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- l.Run(ctx) }()
		time.Sleep(10 * time.Millisecond)
		for i := range 4 {
			_, err := other.Add(ctx, subjectRule(i))
			require.NoError(t, err)
			time.Sleep(500 * time.Millisecond)
			synctest.Wait()
			require.Len(t, l.Rules(), i+1, "the store is followed")
		}
		began := time.Now()
		_, err := l.Add(ctx, subjectRule(4))
		require.NoError(t, err, "it is shared")
		require.Zero(t, time.Since(began))
		shared.set(true)
		_, err = l.Add(ctx, subjectRule(5))
		require.ErrorIs(t, err, store.ErrNotShared)
		require.ErrorIs(t, err, revocation.ErrNotSaved)
		require.Equal(t, time.Second, time.Since(began), "it waits for the copy, and not for long")
		require.Len(t, l.Rules(), 6, "it counts")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.Equal(t, "unavailable", l.Status().Replica.LocalProblem)
		require.Equal(t, "unavailable", changes[len(changes)-1].Replica.LocalProblem)
		require.Contains(t, out.String(), "deadline exceeded")

		copied.hang(false)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		require.Empty(t, l.Status().Replica.LocalProblem)
		require.Empty(t, changes[len(changes)-1].Replica.LocalProblem)
		require.Len(t, restarted(t, copied).Rules(), 6)

		// Run does not end before the copy knows what was said, and leaves nothing behind.
		shared.set(false)
		_, err = l.Add(ctx, subjectRule(6))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Len(t, restarted(t, copied).Rules(), 7)
		_, err = l.Add(t.Context(), subjectRule(7))
		require.NoError(t, err)
		require.Len(t, restarted(t, copied).Rules(), 8, "without Run, Add does it")
	})
}

// hanging is a memory that may answer nothing until the context ends.
type hanging struct {
	memory
	mood  sync.Mutex
	hangs bool
}

func (h *hanging) hang(hangs bool) {
	h.mood.Lock()
	defer h.mood.Unlock()
	h.hangs = hangs
}

func (h *hanging) wait(ctx context.Context) error {
	h.mood.Lock()
	hangs := h.hangs
	h.mood.Unlock()
	if hangs {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (h *hanging) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := h.wait(ctx); err != nil {
		return nil, "", err
	}
	return h.memory.Load(ctx, name, ifNot)
}

func (h *hanging) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := h.wait(ctx); err != nil {
		return "", err
	}
	return h.memory.Save(ctx, name, data, ifRevision)
}

// What a process wrote down that did not know the rules is no copy of them.
func TestPartialCopy(t *testing.T) {
	t.Parallel()
	copied, shared := &memory{}, &memory{down: true}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{shared}, LocalCopy: copied}})
	_, err := l.Add(t.Context(), subjectRule(1))
	require.ErrorIs(t, err, store.ErrNotShared)
	again := restarted(t, copied)
	require.Len(t, again.Rules(), 1)
	require.False(t, known(again), "there may be others")
	shared.set(false)
	require.NoError(t, l.Load(t.Context()))
	again = restarted(t, copied)
	require.Len(t, again.Rules(), 1)
	require.True(t, known(again))
	require.Equal(t, "local copy", again.Status().Replica.Origin)
}

// A copy that cannot be read is replaced, unless a newer version wrote it. One that cannot be written is reported.
func TestStrangeCopies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc  string
		want string
	}{
		"junk":  {"junk", ""},
		"newer": {`{"version":2}`, "malformed"},
	} {
		copied := &memory{}
		copied.put(revocation.DefaultName, []byte(c.doc))
		l := newList(t, revocation.Config{Replica: store.ReplicaConfig{LocalCopy: copied}})
		_, err := l.Add(t.Context(), subjectRule(1))
		require.Equal(t, c.want != "", errors.Is(err, revocation.ErrNotSaved), name)
		require.NotErrorIs(t, err, store.ErrNotShared, "there is no store")
		require.Equal(t, c.want, l.Status().Replica.LocalProblem, name)
		require.Equal(t, c.want != "", string(copied.docs[revocation.DefaultName].Data) == c.doc, name)
	}
	copied := &memory{down: true}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{Stores: []store.Trusted{&memory{}}, LocalCopy: copied}})
	_, err := l.Add(t.Context(), subjectRule(1))
	require.NoError(t, err, "it is in the store")
	require.Equal(t, "unavailable", l.Status().Replica.LocalProblem)
}

// rival is a copy that somebody else writes between the reading and the writing of it.
type rival struct {
	memory
	meanwhile func()
}

func (r *rival) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if meanwhile := r.meanwhile; meanwhile != nil {
		r.meanwhile = nil
		meanwhile()
	}
	return r.memory.Save(ctx, name, data, ifRevision)
}

// What another process writes to the copy in between is read and kept, and the change is copied all the same.
func TestContestedCopy(t *testing.T) {
	t.Parallel()
	copied := &rival{}
	other := newList(t, revocation.Config{Replica: store.ReplicaConfig{LocalCopy: copied}})
	copied.meanwhile = func() {
		_, err := other.Add(t.Context(), subjectRule(1))
		require.NoError(t, err)
	}
	l := newList(t, revocation.Config{Replica: store.ReplicaConfig{LocalCopy: copied}})
	_, err := l.Add(t.Context(), subjectRule(2))
	require.NoError(t, err)
	require.Len(t, l.Rules(), 2)
	require.Len(t, restarted(t, copied).Rules(), 2)
}

// A start with an empty store is no failure, and the log has none.
func TestAnEmptyStoreIsNoFailure(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := newList(t, revocation.Config{
		Replica: store.ReplicaConfig{Stores: []store.Trusted{&memory{}}}, Logger: slog.New(slog.NewTextHandler(&out, nil)),
	})
	require.NoError(t, l.Load(t.Context()))
	require.Contains(t, out.String(), "level=INFO")
	require.Contains(t, out.String(), "origin=store")
	require.NotContains(t, out.String(), "not found")
}
