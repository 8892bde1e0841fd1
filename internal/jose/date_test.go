package jose_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// FuzzNumericDate: dates are read exactly, down to nanoseconds, towards zero.
func FuzzNumericDate(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "1790003600", "1790003600.0", "17900036e2", "1.7900036E9", "1e-9", "1e-10", "-1.5", "253402300799",
		"253402300799.999999999", "253402300800", "1e400", "-1e400", "0.0000000000000000000000001e30", "1e-999999999999",
		"1e999999999999", `"1790003600"`, "null", "[1]", "{}", "true", "0e999999999999", "123456789012.123456789123456789", "0.1", "1000000000000e-1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !json.Valid([]byte(s)) || strings.TrimSpace(s) != s || len(s) > 60 {
			return
		}
		date, ok := jose.NumericDate(s)
		if s[0] != '-' && (s[0] < '0' || s[0] > '9') {
			require.False(t, ok, "%s is not a number", s)
			return
		}
		if i := strings.IndexAny(s, "eE"); i >= 0 && len(s)-i > 5 {
			return // beyond what the referee can compute
		}
		want, good := new(big.Rat).SetString(s)
		require.True(t, good)
		limit := big.NewRat(253402300800, 1)
		if new(big.Rat).Abs(want).Cmp(limit) >= 0 {
			require.False(t, ok, s)
			return
		}
		require.True(t, ok, s)
		got := new(big.Rat).Add(new(big.Rat).SetInt64(date.Unix()), big.NewRat(int64(date.Nanosecond()), 1e9))
		diff := new(big.Rat).Sub(want, got)
		require.Negative(t, new(big.Rat).Abs(diff).Cmp(big.NewRat(1, 1e9)), "%s is not %v", s, date)
		require.GreaterOrEqual(t, diff.Sign()*want.Sign(), 0, "towards zero")
	})
}
