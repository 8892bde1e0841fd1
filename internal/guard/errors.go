package guard

import "errors"

// Sound returns err, or a *Panic that names what if a method of err panics, such as Unwrap of a nil pointer in an error. Whatever
// code of others returns as an error goes through it where nobody recovers a panic of errors.Is, errors.As or Error.
func Sound(what string, err error) error {
	if err == nil {
		return nil
	}
	panicked := Call(what, func() {
		_ = err.Error()
		_ = errors.Is(err, errNever)
		var never interface{ neverAnError() }
		_ = errors.As(err, &never)
	})
	if panicked != nil {
		return panicked
	}
	return err
}

// errNever is in no chain, so that all of a chain is walked.
var errNever = errors.New("guard: never")
