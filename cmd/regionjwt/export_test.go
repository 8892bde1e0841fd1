package main

// What the tests use.
var (
	Run     = run
	Silence = silence
)
