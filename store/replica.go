package store

import (
	"errors"
	"time"
)

// ErrNotShared says that a rule or a pin is in effect in this process, but was not written to the store.
var ErrNotShared = errors.New("in effect here, but not written to the store")

// ReplicaConfig says where a document is shared, and how this process replicates it. The zero value shares nothing.
type ReplicaConfig struct {
	// Store is where a fleet shares the document. Nil means that nothing is shared.
	Store Trusted
	// LocalCopy keeps the document for a start while Store is unavailable: a [Dir], or an encrypted or signed store. Several
	// processes may share one. Nil means that the document is unknown until Store has answered.
	LocalCopy Trusted
	// Name is the name of the document, 1 to 512 bytes. "" means the default of the package.
	Name string
	// PollInterval is the time between two requests to Store, in addition to those after a hint of its Watch. 0 means 500 ms; the
	// minimum is 50 ms.
	PollInterval time.Duration
	// MinEpoch is an epoch that the document is known to have reached; see ReplicaStatus. A document with a lower epoch was
	// rolled back: what it says is in effect, but the document stays unknown. With 1 or more, a Store without a document has lost
	// it, and the document stays unknown, too. 0 means that any document is accepted, and that a Store may be empty.
	MinEpoch uint64
}

// ReplicaStatus is the state of a process's replica of a shared document.
type ReplicaStatus struct {
	// Origin says where the document came from: "store" or "local copy", "none" if it is not known yet, or "process" if nothing
	// is shared, so that this process knows all there is.
	Origin string `json:"origin"`
	// Epoch is a counter that grows with every change that is written to the store. 0 means that there was none.
	Epoch uint64 `json:"epoch"`
	// Confirmed is when the store last answered without a problem; the zero time if never.
	Confirmed time.Time `json:"confirmed,omitzero"`
	// StoreProblem is the problem with the store, or "": unavailable (it does not answer, or could not be written), missing (it
	// has no document, and should), lost (it has no document any more), rolled_back (its document is older than what is known),
	// not_authentic (no authorized writer wrote it), or malformed (it cannot be read, or is of a newer version). No problem
	// changes what is known.
	StoreProblem string `json:"store_problem,omitempty"`
	// LocalProblem is the problem with the local copy, or "": unavailable, not_authentic or malformed.
	LocalProblem string `json:"local_problem,omitempty"`
}
