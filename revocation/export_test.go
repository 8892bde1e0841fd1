package revocation

import (
	"time"

	"github.com/regionjwt/regionjwt/internal/replica"
)

// Limits, for tests.
const (
	DefaultName = defaultName
	MaxRules    = maxRules
	MaxDocument = maxDocument
	MaxRemoved  = maxRemoved
)

// Causes of errors, for tests.
var (
	ErrUnknown     = errUnknown
	ErrFull        = errFull
	ErrNoRoom      = errNoRoom
	ErrNotSaved    = replica.ErrNotSaved
	ErrNotReplaced = replica.ErrNotReplaced
)

// Validate reports every problem with r, for tests.
func (r Rule) Validate() error { return r.validate() }

// SetNow replaces the clock of a List that is not in use yet.
func SetNow(l *List, now func() time.Time) { l.now = now }

// SetNewest makes a List that is not in use yet one of a version that understands rules up to a version.
func SetNewest(l *List, version int) { l.newest = version }

// Notes are those of every Add that is known and can be read, also of one that a later Add of the same rule hides.
func Notes(l *List) map[string]bool {
	notes := map[string]bool{}
	for _, e := range l.current().Document.entries.all() {
		if e.id != "" {
			notes[e.rule.Note] = true
		}
	}
	return notes
}
