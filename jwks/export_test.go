package jwks

// NewWithClock is New with other clocks: readings of the monotonic and the wall clock, in nanoseconds.
func NewWithClock(c Config, read func() (mono, wall int64)) (*Cache, error) {
	return newCache(c, func() instant {
		mono, wall := read()
		return instant{mono: mono, wall: wall}
	})
}
