// Package signaldoc lets package sharedsignals write documents of rules in the format of package revocation, without a public
// type for it.
package signaldoc

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/regionjwt/regionjwt/store"
)

// DefaultName is the name of the document of a receiver.
const DefaultName = "regionjwt/signals"

// The limits of rules that readers apply, with their defaults.
const (
	MaxLifetime  = 25 * time.Hour  // from the creation of a rule to its end
	MaxAhead     = 5 * time.Minute // by which an IssuedBefore, or a creation, may be in the future
	MaxSessions  = 16              // rules for sessions of one subject; one more makes a rule for the subject of them
	LongLifetime = 31 * 24 * time.Hour
)

// Rule is a rule that an event asks for. Subject, SessionID or TokenID is set.
type Rule struct {
	// Tag identifies the event: the same event leads to the same Tag in every receiver.
	Tag [16]byte

	Provider, Subject, SessionID, TokenID string
	// IssuedBefore is zero only with a TokenID.
	IssuedBefore, Ends time.Time
	Note               string

	// Reserved says that the rule may use the room that is reserved for accounts that are disabled or compromised.
	Reserved bool
}

// Result says what became of a rule.
type Result struct {
	ID  string // of the rule that has the effect
	New bool   // nothing had that effect before
	Err error  // ErrNoRoom; the rule is not in effect
}

// ErrNoRoom says that the room of a provider is used up.
var ErrNoRoom = errors.New("there is no room for another rule of this provider")

// Config configures a Document.
type Config struct {
	Replica   store.ReplicaConfig // its name must be set
	Providers []string            // that share the room
	Logger    *slog.Logger
	Now       func() time.Time
}

// Document is the document of a receiver. It is safe for concurrent use.
type Document interface {
	// Add adds rules. It returns when a store has them, or with an error.
	Add(ctx context.Context, rules []Rule) ([]Result, error)
	// Run follows the stores until ctx ends.
	Run(ctx context.Context) error
}

var open func(Config) (Document, error)

// Provide sets the function of package revocation that opens a Document. Package revocation calls it once, when it is
// initialized. It returns a value so that it can initialize a variable.
func Provide(f func(Config) (Document, error)) struct{} {
	open = f
	return struct{}{}
}

// Open returns a Document, or every problem with c. It does no I/O.
func Open(c Config) (Document, error) { return open(c) }
