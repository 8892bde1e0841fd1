//go:build vectors

package e2e_test

// The vectors are read from the module cache: see vectors_test.go. This import, which no build needs, keeps the module in
// go.mod and go.sum without linking its files into the tests.
import _ "github.com/c2sp/wycheproof"
