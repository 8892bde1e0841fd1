package main

// What the tests use.
var (
	Run          = run
	ErrWrong     = errWrong
	ErrNoAdapter = errNoAdapter
)

// Result is what one verifier did.
type Result = result
