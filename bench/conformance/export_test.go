package main

// What the tests use.
var (
	Run          = run
	ErrWrong     = errWrong
	ErrNothing   = errNothing
	ErrNoAdapter = errNoAdapter
)

// What the tests see.
type (
	Result        = result
	Configuration = configuration
	ConfigIssuer  = configIssuer
	Answer        = answer
)
