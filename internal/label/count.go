package label

import (
	"strconv"
	"strings"
)

// Count writes a number with the name of what is counted, such as "1 error" and "2 errors".
func Count(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "s"):
		return strconv.Itoa(n) + " " + one + "es"
	}
	return strconv.Itoa(n) + " " + one + "s"
}
