package replica

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/regionjwt/regionjwt/internal/seen"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/store"
)

const (
	maxEarly     = 5 * time.Minute // by which a signature may be ahead of the clock
	maxAliveWait = 5 * time.Second // between two requests for the heartbeat
	maxBeats     = 16              // digests of a heartbeat
)

// AliveName is the name of the document that holds the heartbeat of another one.
func AliveName(name string) string { return name + "/alive" }

// beat is a heartbeat: the documents that its signer has read. When it was signed is part of the signature.
type beat struct {
	Version int      `json:"version"`
	Name    string   `json:"name"`
	Digests []string `json:"digests"`
}

// silence knows how old the latest proof is that nothing is withheld. The mutex of the Replica guards it.
type silence struct {
	latest  time.Time     // of the proofs
	signed  time.Time     // when the latest heartbeat was signed,
	pending []seen.Digest // and the documents that it names
}

// isStale reports whether the latest proof is too old. The caller holds mu.
func (r *Replica[T]) isStale(now time.Time) bool {
	if r.config.MaxSilence == 0 {
		return false
	}
	return now.Sub(r.alive.latest) > r.config.MaxSilence
}

// noteSigned notes when an authentic document was signed.
func (r *Replica[T]) noteSigned(at time.Time) {
	if r.config.MaxSilence == 0 || at.IsZero() || at.After(r.config.Now().Add(maxEarly)) {
		return
	}
	r.locked(func() {
		if at.After(r.alive.latest) {
			r.alive.latest = at
		}
		r.weighBeat()
		r.update(func(*State[T]) {})
	})
}

// receiveAlive takes in a heartbeat. It proves something as soon as every document is known that it names.
func (r *Replica[T]) receiveAlive(a answer) {
	if a.err == nil && !a.signed.IsZero() && !a.signed.After(r.config.Now().Add(maxEarly)) {
		if digests, err := decodeBeat(a.data, r.config.Name); err == nil {
			r.mu.Lock()
			if a.signed.After(r.alive.signed) {
				r.alive.signed, r.alive.pending = a.signed, digests
			}
			r.mu.Unlock()
		}
	}
	r.recheckSilence()
}

// recheckSilence finds out whether the proofs are too old now.
func (r *Replica[T]) recheckSilence() {
	r.locked(func() {
		r.weighBeat()
		r.update(func(*State[T]) {})
	})
}

// weighBeat accepts the latest heartbeat if every document that it names was read. The caller holds mu.
func (r *Replica[T]) weighBeat() {
	if !r.alive.signed.After(r.alive.latest) {
		return
	}
	missing := func(d seen.Digest) bool {
		v, known := r.verdicts.Get(d)
		return !known || v.err != nil
	}
	if !slices.ContainsFunc(r.alive.pending, missing) {
		r.alive.latest = r.alive.signed
	}
}

// aliveInterval is the time between two requests for the heartbeat.
func (r *Replica[T]) aliveInterval() time.Duration {
	return max(min(r.config.MaxSilence/4, maxAliveWait), r.config.PollInterval)
}

func decodeBeat(data []byte, name string) (digests []seen.Digest, err error) {
	var b beat
	if err := strictjson.Unmarshal(string(data), &b); err != nil || b.Version != 1 || b.Name != name ||
		len(b.Digests) == 0 || len(b.Digests) > maxBeats {
		return nil, errors.New("it is not a heartbeat for this document")
	}
	for _, text := range b.Digests {
		raw, err := hex.DecodeString(text)
		if err != nil || len(raw) != len(seen.Digest{}) {
			return nil, errors.New("it is not a heartbeat: a digest is malformed")
		}
		digests = append(digests, seen.Digest(raw))
	}
	return digests, nil
}

// Beat writes a heartbeat to every store: it says that the documents of that name are the current ones. It returns how many stores
// have accepted it, and the error of those that have not. The caller has made sure that no store withholds anything.
func Beat(ctx context.Context, stores []store.Trusted, name string) (accepted int, err error) {
	b := beat{Version: 1, Name: name}
	var errs []error
	for i, s := range stores {
		a := (&endpoint{name: "the store", store: s}).load(ctx, name, "")
		if a.err != nil {
			errs = append(errs, fmt.Errorf("store %d: %w", i, a.err))
			continue
		}
		digest := seen.Of(name, a.data)
		if text := hex.EncodeToString(digest[:]); !slices.Contains(b.Digests, text) {
			b.Digests = append(b.Digests, text)
		}
	}
	if len(b.Digests) == 0 {
		return 0, errors.Join(errs...)
	}
	data, err := json.Marshal(b)
	if err != nil {
		return 0, err
	}
	for i, s := range stores {
		if err := replace(ctx, &endpoint{name: "the store", store: s}, AliveName(name), data); err != nil {
			errs = append(errs, fmt.Errorf("store %d: %w", i, err))
			continue
		}
		accepted++
	}
	return accepted, errors.Join(errs...)
}

// replace writes a document, whatever the store has.
func replace(ctx context.Context, e *endpoint, name string, data []byte) (err error) {
	for range tries {
		a := e.load(ctx, name, "")
		if a.err != nil && !errors.Is(a.err, store.ErrNotFound) && (!errors.Is(a.err, store.ErrNotAuthentic) || a.revision == "") {
			return a.err
		}
		if err = e.save(ctx, name, data, a.revision); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return err
}
