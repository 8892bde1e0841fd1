package rules

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
	"github.com/regionjwt/regionjwt/verifier"
)

// All calls of package revocation are in this file.

// documentName is the name of the document, unless services configure another one.
const documentName = "regionjwt/revocation"

// restorePause is the time between two looks at whether everything is written.
const restorePause = 100 * time.Millisecond

func (f *Flags) documentName() string { return cmp.Or(f.Name, documentName) }

// everyProvider is the provider of a rule for the tokens of all providers.
const everyProvider = "*"

// Rule says which tokens are revoked.
type Rule = revocation.Rule

// State is the state of a list.
type State struct {
	Known  bool
	Origin string // "store", "local copy", "none"
	Rules  int
	Epoch  uint64
	// Unreadable is how many rules a newer version wrote.
	Unreadable int
	Age        time.Duration // since the store answered
	Problem    string        // with the first store that has one: unavailable, lost, rolled_back, not_authentic, malformed
	Stores     []StoreState
}

// StoreState is the state of one of the stores.
type StoreState struct {
	Where   string `json:"store"`
	Problem string `json:"problem"`
	Epoch   uint64 `json:"epoch"`
}

// List is the list of rules of the opened stores.
type List struct {
	*storage.Opened
	list     *revocation.List
	replica  store.ReplicaConfig
	readOnly bool // the local copy is not written by the list, but after the change is in the store, or not at all
}

// Open opens the list that the flags describe. writes says that something will be written; a list that is only examined changes
// neither the store nor the local copy.
func (f *Flags) Open(c *cli.Call, writes, examines bool) (*List, error) {
	o, err := f.Flags.Open(c, writes)
	if err != nil {
		return nil, err
	}
	l := &List{Opened: o, readOnly: writes || examines}
	l.replica = store.ReplicaConfig{Stores: o.Stores(), Name: f.documentName()}
	if f.LocalCopy != "" {
		l.replica.LocalCopy = store.Dir(f.LocalCopy)
	}
	if err := l.read(o.Stores()); err != nil {
		o.CloseAll()
		return nil, err
	}
	return l, nil
}

// OpenFrom returns the list of the rules that a service replicates as it is configured. It changes nothing.
func OpenFrom(o *storage.Opened, r store.ReplicaConfig) (*List, error) {
	l := &List{Opened: o, replica: r, readOnly: true}
	l.replica.Stores, l.replica.Name = o.Stores(), cmp.Or(r.Name, documentName)
	return l, l.read(o.Stores())
}

// read makes the list one of stores, of which it knows nothing yet.
func (l *List) read(from []store.Trusted) error {
	r := l.replica
	r.Stores = from
	if l.readOnly && r.LocalCopy != nil {
		r.LocalCopy = storage.ReadOnly(r.LocalCopy)
	}
	list, err := revocation.New(revocation.Config{Replica: r})
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	l.list = list
	return nil
}

// State returns the state.
func (l *List) State() State {
	st := l.list.Status()
	s := State{
		Known: st.Replica.Origin != label.None, Origin: st.Replica.Origin, Rules: st.Rules, Epoch: st.Replica.Epoch,
		Problem: st.Replica.StoreProblem, Unreadable: st.Unreadable,
	}
	for i, one := range st.Replica.Stores {
		s.Stores = append(s.Stores, StoreState{Where: l.Places[i].Where, Problem: one.Problem, Epoch: one.Epoch})
	}
	if !st.Replica.Confirmed.IsZero() {
		s.Age = max(0, time.Since(st.Replica.Confirmed))
	}
	return s
}

// AnyWell reports whether a store has all that is known. Services need no more than one.
func (l *List) AnyWell() bool {
	return slices.ContainsFunc(l.State().Stores, func(s StoreState) bool { return s.Problem == "" })
}

// Rules returns the rules in effect, the oldest first.
func (l *List) Rules() []Rule { return l.list.Rules() }

// Revoked returns the ID of a rule that matches a token, or "".
func (l *List) Revoked(t *verifier.Token) (string, error) { return l.list.Revoked(t) }

// check reports why a rule is not valid, and which version it has: it adds it to a list that is not shared.
func check(ctx context.Context, r Rule) (version int, err error) {
	var written storage.Memory
	copied := store.InsecureTrust(&written)
	list, err := revocation.New(revocation.Config{Replica: store.ReplicaConfig{LocalCopy: copied}})
	if err != nil {
		return 0, err
	}
	if _, err = list.Add(ctx, r); err != nil {
		return 0, err
	}
	var d struct {
		Document struct {
			Rules []struct {
				Version int `json:"v"`
			} `json:"rules"`
		} `json:"document"`
	}
	if err := strictjson.Unmarshal(string(written.Data), &d); err != nil || len(d.Document.Rules) != 1 {
		return 0, errors.New("the rule cannot be written")
	}
	return d.Document.Rules[0].Version, nil
}

// overwrite makes the first change replace the documents that cannot be read: what only they held is lost.
func (l *List) overwrite(ctx context.Context, old []*storage.Unreadable, problem error) error {
	stores := l.Stores()
	for i, one := range l.State().Stores {
		if one.Problem != label.NotAuthentic && one.Problem != label.Malformed {
			continue
		}
		replaced, err := old[i].Replace(problem)
		if err != nil {
			return err
		}
		stores[i] = replaced
	}
	if err := l.read(stores); err != nil {
		return err
	}
	_ = l.list.Load(ctx) // what the others and the local copy know is written back
	return nil
}

// readBack reads the store again, as a service would that knows nothing, and returns its rules. The local copy learns them.
func (l *List) readBack(ctx context.Context) (written, []Rule, error) {
	r := l.replica
	r.LocalCopy = nil
	fresh, err := revocation.New(revocation.Config{Replica: r})
	if err != nil {
		return written{}, nil, err
	}
	if err := fresh.Load(ctx); err != nil {
		return written{}, nil, err
	}
	st := fresh.Status()
	w := written{Epoch: st.Replica.Epoch, Rules: st.Rules, Store: l.Where, Trust: l.Trust}
	for i, one := range st.Replica.Stores {
		if one.Problem != "" {
			w.NotIn = append(w.NotIn, StoreState{Where: l.Places[i].Where, Problem: one.Problem, Epoch: one.Epoch})
		}
	}
	if l.replica.LocalCopy != nil {
		w.LocalCopy = l.writeCopy(ctx, st.Replica.Epoch)
	}
	return w, fresh.Rules(), nil
}

// writeCopy brings what is in the store to the local copy, and reads it back.
func (l *List) writeCopy(ctx context.Context, epoch uint64) string {
	alone := l.replica
	alone.Stores = storage.Unavailable(l.Stores())
	for _, r := range []store.ReplicaConfig{l.replica, alone} {
		list, err := revocation.New(revocation.Config{Replica: r})
		if err != nil {
			return "failed"
		}
		if err := list.Load(ctx); err != nil && !errors.Is(err, storage.ErrUnavailable) || list.Status().Replica.Epoch < epoch {
			return "failed"
		}
	}
	return "written"
}

// CopyEpoch returns the epoch of the local copy, without a question to the store, and the error of reading it.
func (l *List) CopyEpoch(ctx context.Context) (uint64, error) {
	alone := l.replica
	alone.Stores = storage.Unavailable(l.Stores())
	alone.LocalCopy = storage.ReadOnly(l.replica.LocalCopy)
	list, err := revocation.New(revocation.Config{Replica: alone})
	if err != nil {
		return 0, err
	}
	if err := list.Load(ctx); err != nil && !errors.Is(err, storage.ErrUnavailable) {
		return 0, err
	}
	return list.Status().Replica.Epoch, nil
}

func (l *List) add(ctx context.Context, r Rule) (id string, err error) {
	if id, err = l.list.Add(ctx, r); err != nil && !errors.Is(err, store.ErrNotShared) { // it is valid: there is no room
		return "", cli.Fail(cli.ExitNotShared, "%w; nothing was changed", err)
	}
	if err != nil {
		return "", notShared(err)
	}
	return id, nil
}

func (l *List) remove(ctx context.Context, id string) error {
	if err := l.list.Remove(ctx, id); err != nil {
		return notShared(err)
	}
	return nil
}

// notShared turns the error of a change into a failure.
func notShared(err error) error {
	if errors.Is(err, store.ErrNotShared) {
		return cli.Fail(cli.ExitNotShared,
			"the change may not have been written: see 'regionjwt rules', and try again when the cause is gone (%w)",
			storage.Causes(err))
	}
	return cli.Fail(cli.ExitUsage, "%w", err)
}
