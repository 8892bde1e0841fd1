package speed

// NewPairWithClock is NewPair with another clock.
var NewPairWithClock = newPair
