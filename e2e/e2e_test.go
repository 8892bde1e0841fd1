// Package e2e tests the library against issuers that others wrote: a certified OpenID provider in this process, under the
// host names of Amazon Cognito; oidc-provider, zitadel/oidc, cognito-local, PyJWT and Authlib, in processes of their own, of
// which one is stopped; and the test vectors of Wycheproof. It needs node 20 or later, npm, and the Debian packages python3-jwt
// and python3-authlib.
package e2e_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/verifier"
)

const (
	patience = 20 * time.Second // for what has to come about, on a busy machine
	tick     = 20 * time.Millisecond
)

func isInvalid(err error) bool     { return errors.Is(err, verifier.ErrInvalid) }
func isUnavailable(err error) bool { return errors.Is(err, verifier.ErrUnavailable) }

// eventually asks until the answer is yes.
func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	again := time.NewTicker(tick)
	defer again.Stop()
	for !done() {
		require.True(t, time.Now().Before(deadline), "still waiting after %v", patience)
		<-again.C
	}
}
