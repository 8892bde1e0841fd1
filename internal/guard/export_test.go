package guard

import "io"

// SetStderr has Report write to w, and forget what it has reported, until restore is called.
func SetStderr(w io.Writer) (restore func()) {
	old := stderr
	stderr = w
	told.Clear()
	return func() { stderr = old }
}
