package audit_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/observe/audit"
)

// Security events have records; a flood of those that make no rule does not fill the log, and hides none that makes one.
func TestSecurityEventsAreRecorded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l, err := audit.New(slog.NewJSONHandler(&out, nil), audit.Config{MaxRejectionsPerSecond: 2})
		require.NoError(t, err)
		for range 5 {
			l.RecordSignal("shop", "", "bad_signature", "")
		}
		l.RecordSignal("shop", "session-revoked", "applied", "rule-1")
		l.Flush(t.Context())
		text := out.String()
		require.Equal(t, 4, strings.Count(text, "\n"), text)
		require.Contains(t, text, `"msg":"security event","transmitter":"shop","outcome":"applied","event":"session-revoked","rule":"rule-1"`)
		require.Contains(t, text, `"suppressed":3`)
		(*audit.Log)(nil).RecordSignal("a", "b", "c", "d")
	})
}
