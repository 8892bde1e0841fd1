// Package backoff says how long to wait before something is tried again.
package backoff

import "time"

// After returns the wait after so many failures in a row: first after one, doubled after each other one, and most at most.
func After(failures int, first, most time.Duration) time.Duration {
	const doublings = 16 // first is less than a day, so that this does not overflow
	return min(first<<min(max(failures-1, 0), doublings), most)
}

// Spread varies d by up to a tenth, so that the requests of many processes spread. random is a number from 0 to 1.
func Spread(d time.Duration, random float64) time.Duration {
	return d + time.Duration((random*0.2-0.1)*float64(d))
}
