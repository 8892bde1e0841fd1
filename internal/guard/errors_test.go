package guard_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// hollow is an error whose methods read what is not there, where it is a nil pointer.
type hollow struct {
	text  string
	cause error
}

func (h *hollow) Error() string { return h.text }
func (h *hollow) Unwrap() error { return h.cause }

// unwraps has a text, and a chain that cannot be walked.
type unwraps struct{ *hollow }

func (unwraps) Error() string { return "text" }

// is panics when it is compared, and as when it is converted.
type (
	is struct{ error }
	as struct{ error }
)

func (is) Is(error) bool { panic("s3cret") }
func (as) As(any) bool   { panic("s3cret") }

// An error whose methods work is returned as it is. One with a method that panics is replaced by what can be walked and printed.
func TestSound(t *testing.T) {
	t.Parallel()
	require.NoError(t, guard.Sound("the store", nil))
	plain := errors.New("plain")
	for _, err := range []error{plain, fmt.Errorf("wrapped: %w", plain), errors.Join(plain, plain), &hollow{cause: plain}} {
		require.Equal(t, err, guard.Sound("the store", err))
	}
	for _, err := range []error{
		(*hollow)(nil), unwraps{}, fmt.Errorf("wrapped: %w", error(unwraps{})), errors.Join(plain, unwraps{}), is{plain}, as{plain},
	} {
		sound := guard.Sound("the store", err)
		var p *guard.Panic
		require.ErrorAs(t, sound, &p)
		require.Equal(t, "the store", p.What)
		require.NotErrorIs(t, sound, plain)
		require.NotContains(t, sound.Error(), "s3cret")
	}
}
