// Package document holds the limits of the documents of package store, for the stores of this project, and an error of writers
// of rules.
package document

import (
	"context"
	"errors"
	"fmt"
)

// Limits, in bytes.
const (
	MaxName = 512
	MaxData = 4 << 20
)

// ErrTooLarge says that a name is empty, or that a name or a document is longer than its limit.
var ErrTooLarge = errors.New("document or name is too large")

// ErrNoMatch says that no token can ever match a rule.
var ErrNoMatch = errors.New("no token can match the rule")

// Check checks the arguments of a call of a store.
func Check(ctx context.Context, name string, data []byte) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("a name has 1 to %d bytes: %w", MaxName, ErrTooLarge)
	}
	if len(data) > MaxData {
		return fmt.Errorf("a document has at most %d bytes: %w", MaxData, ErrTooLarge)
	}
	return ctx.Err()
}
