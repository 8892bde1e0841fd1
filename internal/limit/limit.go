// Package limit holds the bounds and defaults that several packages apply to the same thing.
package limit

import "time"

const (
	// Leeway is by how much clocks may differ, by default.
	Leeway = 30 * time.Second
	// MaxLeeway is the longest Leeway that can be set.
	MaxLeeway = 5 * time.Minute

	// TokenBytes is the length of the longest token that is looked at, by default.
	TokenBytes = 16 << 10
	// MaxTokenBytes is the longest length that can be set.
	MaxTokenBytes = 1 << 20

	// KeySetBytes is the size of the largest key set that is used, by default.
	KeySetBytes = 256 << 10

	// KeyFileBytes is the size of the largest file with a key.
	KeyFileBytes = 64 << 10

	// HeaderBytes is the size of the headers of an answer at most, where the caller's client sets no limit.
	HeaderBytes = 64 << 10
)
