//go:build !go1.27

package jose

import "crypto"

// The standard library has no ML-DSA before Go 1.27, so there are no such keys.

func supportsMLDSA() bool { return false }

func newMLDSA(string, []byte) crypto.PublicKey { return nil }

func parameterSet(crypto.PublicKey) string { return "" }

func publicMLDSA(crypto.PublicKey) []byte { return nil }

func verifyMLDSA(crypto.PublicKey, []byte, []byte) bool { return false }
