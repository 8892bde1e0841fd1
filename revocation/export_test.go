package revocation

import "time"

// Limits, for tests.
const (
	DefaultName = defaultName
	MaxRules    = maxRules
	MaxDocument = maxDocument
)

// Causes of errors, for tests.
var (
	ErrUnknown     = errUnknown
	ErrFull        = errFull
	ErrNotSaved    = errNotSaved
	ErrNotReplaced = errNotReplaced
)

// Validate reports every problem with r, for tests.
func (r Rule) Validate() error { return r.validate() }

// SetNow replaces the clock of a List that is not in use yet.
func SetNow(l *List, now func() time.Time) { l.now = now }
