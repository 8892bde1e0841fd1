package main

// Run is what the command does.
var Run = run
