package trust

import (
	"fmt"
	"io/fs"
)

// ModeError says that a file or a directory is not only for the user of the process.
type ModeError struct {
	Path  string
	Other bool        // another user owns it
	Mode  fs.FileMode // if not
}

// Error implements error.
func (e *ModeError) Error() string {
	if e.Other {
		return "another user owns " + e.Path
	}
	const text = "others may read or write %s (mode %04o): find out who did, then chmod %o it"
	return fmt.Sprintf(text, e.Path, e.Mode, e.Mode&0o700)
}
