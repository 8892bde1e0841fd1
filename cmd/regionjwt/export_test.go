package main

// What the tests use.
var (
	Run  = run
	Main = main
)
