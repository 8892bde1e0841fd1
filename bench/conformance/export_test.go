package main

// What the tests use.
var (
	Run          = run
	ErrWrong     = errWrong
	ErrNothing   = errNothing
	ErrNoAdapter = errNoAdapter
)

// Result is what one verifier did.
type Result = result
