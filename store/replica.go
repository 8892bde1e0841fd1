package store

import (
	"errors"
	"time"
)

// ErrNotShared says that a rule or a pin is in effect in this process, but was not written to the store.
var ErrNotShared = errors.New("in effect here, but not written to the store")

// ReplicaConfig says where a document is shared, and how this process follows it. The zero value shares nothing.
type ReplicaConfig struct {
	// Store is where a fleet shares the document. Nil means that there is nothing to share.
	Store Trusted
	// LocalCopy keeps the document for a start while Store does not answer: a [Dir], or an encrypted or signed store. Several
	// processes may share one. Nil means that the document is unknown until Store has answered.
	LocalCopy Trusted
	// Name is the name of the document. "" means the default of the package.
	Name string
	// PollInterval is the time between two questions to Store, besides those that its hints cause. 0 means 500 ms.
	PollInterval time.Duration
	// MinEpoch is an epoch that the document has reached, as ReplicaStatus tells it. A document of a lower epoch was rolled back:
	// what it says counts, but does not make the document known. With 1 or more, a Store without a document has lost it. 0 means
	// that any document makes it known, and so does a Store that has none.
	MinEpoch uint64
}

// ReplicaStatus is the state of a process's replica of a shared document.
type ReplicaStatus struct {
	// Origin is where the document came from: "store", "local copy", or "none" if it is not known.
	Origin string `json:"origin"`
	// Epoch counts the changes of the document.
	Epoch uint64 `json:"epoch"`
	// Confirmed is when the store last had what this process has; the zero time if never.
	Confirmed time.Time `json:"confirmed,omitzero"`
	// StoreProblem is the problem with the store, or "": unavailable (it does not answer, or could not be written), missing (it
	// has no document, and should), lost (it has no document any more), rolled_back (its document is older than what is known),
	// not_authentic (no authorized writer wrote it), or malformed (it cannot be read, or is of a newer version).
	StoreProblem string `json:"store_problem,omitempty"`
	// LocalProblem is the same for the local copy.
	LocalProblem string `json:"local_problem,omitempty"`
}
