package store

import (
	"errors"
	"time"
)

// ErrNotShared says that a rule or a pin is in effect in this process, but was not written to the store.
var ErrNotShared = errors.New("in effect here, but not written to the store")

// ReplicaConfig says where a document is shared, and how this process replicates it. The zero value shares nothing.
type ReplicaConfig struct {
	// Stores are where a fleet shares the document: one store, or several that do not fail together, such as one for each region.
	// Each is followed by itself, and what any of them says is merged, so the others carry the fleet while one is unavailable,
	// rolled back or hostile. A change succeeds if one store accepts it; a store that misses something is written by a process
	// that can. All are of one fleet. An [Encrypted] store is not accepted, because every holder of its secret can write, unless
	// InsecureTrust vouches for it. None means that nothing is shared.
	Stores []Trusted
	// LocalCopy keeps the document for a start while no store is available: a [Dir], or an encrypted or signed store. Several
	// processes may share one. Nil means that the document is unknown until a store has answered.
	//
	// Without Stores it is the only place: changes of this process survive its restarts, reach no other machine, and reach
	// another process that shares the copy when that one starts or makes a change itself.
	LocalCopy Trusted
	// Name is the name of the document, 1 to 500 bytes. "" means the default of the package.
	Name string
	// PollInterval is the time between two requests to a store, in addition to those after a hint of its Watch. 0 means 500 ms;
	// the minimum is 50 ms.
	PollInterval time.Duration
	// MaxSilence is the maximum age of the latest proof that nothing is withheld: a signed document, or the heartbeat that
	// "regionjwt rules alive" writes. If the proof is older, ReplicaStatus.Stale is set, and a process that starts then treats
	// the document as unknown. 0 means that no proof is needed. It needs Signed stores, and must be longer than PollInterval.
	MaxSilence time.Duration
	// MinEpoch is an epoch that the document is known to have reached; see ReplicaStatus. A document with a lower epoch was
	// rolled back: what it says is in effect, but the document stays unknown. With 1 or more, a store without a document has lost
	// it, and the document stays unknown, too. 0 means that any document is accepted, and that the stores may be empty.
	MinEpoch uint64
}

// ReplicaStatus is the state of a process's replica of a shared document.
type ReplicaStatus struct {
	// Origin says where the document came from: "store" or "local copy", "none" if it is not known yet, or "process" if nothing
	// is shared, so that this process knows all there is.
	Origin string `json:"origin"`
	// Epoch is a counter that grows with every change. 0 means that there was none.
	Epoch uint64 `json:"epoch"`
	// Confirmed is when a store last answered without a problem; the zero time if never.
	Confirmed time.Time `json:"confirmed,omitzero"`
	// Stale says that the latest proof that nothing is withheld is older than MaxSilence.
	Stale bool `json:"stale,omitempty"`
	// StoreProblem is the problem of the first store that has one, or "".
	StoreProblem string `json:"store_problem,omitempty"`
	// LocalProblem is the problem with the local copy, or "": unavailable, not_authentic or malformed.
	LocalProblem string `json:"local_problem,omitempty"`
	// Stores is the state of each store, in the order of ReplicaConfig.Stores. The slice must not be changed.
	Stores []Status `json:"stores,omitempty"`
}

// Status is the state of one store of a replica.
type Status struct {
	// Problem is the problem with the store, or "": unavailable (it does not answer, or could not be written), missing (it has no
	// document, and should), lost (it has no document any more), rolled_back (its document misses something that is known),
	// not_authentic (no authorized writer wrote it), or malformed (it cannot be read, or is of a newer version). No problem
	// changes what is known.
	Problem string `json:"problem,omitempty"`
	// Epoch is that of the document that the store had last. 0 means that it had none.
	Epoch uint64 `json:"epoch"`
	// Confirmed is when the store last answered without a problem; the zero time if never.
	Confirmed time.Time `json:"confirmed,omitzero"`
}
