package main_test

import (
	"os"
	"testing"
)

// TestMain keeps the test binary from playing a role of the soak: as an issuer it would run all tests, and these more issuers.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && (os.Args[1] == "issuer" || os.Args[1] == "service") {
		os.Exit(1)
	}
	os.Exit(m.Run())
}
