package main

import "time"

// answer is what a call came to.
type answer int

const (
	accepted    answer = iota // 200, OK
	refused                   // 401, Unauthenticated
	unavailable               // 503, Unavailable, by the library
	limited                   // 429, ResourceExhausted, by the library: there were too many unknown keys
	lost                      // no answer
	other                     // anything else
	kindsOfAnswer
)

var answerNames = [kindsOfAnswer]string{"accepted", "refused", "cannot tell", "rate limited", "lost", "other"}

func (a answer) String() string { return answerNames[a] }

// facts are what is true of a token while it is presented.
type facts struct {
	Bad         bool // in itself: forged, malformed, for another audience
	Unpublished bool // signed by a key that nobody has published

	Expires     time.Time // zero: after the run
	RevokedFrom time.Time // the operator began to write the rule
	RevokedBy   time.Time // it was written
	Withdrawn   time.Time // the issuer ceased to list the key
	Gone        time.Time // the service has seen so twice, a minute apart

	Unknowable bool // the key could not be had
	TooNew     bool // and the last answer of the issuer, seconds old, does not list it
	Down       bool // the service was restarted meanwhile
}

// reach is how long a rule may take to reach a fleet.
const reach = time.Second

// verdict is what the driver thinks of an answer.
type verdict string

const (
	right            verdict = ""
	acceptedBad      verdict = "accepted, and never valid"
	acceptedOld      verdict = "accepted after it had expired"
	acceptedRule     verdict = "accepted more than 1 s after it was revoked"
	acceptedGone     verdict = "accepted after its key was withdrawn"
	refusedGood      verdict = "refused, and valid"
	unknownReachable verdict = "503, and the key was in memory or within reach"
	limitedReachable verdict = "429, and the key was in memory or within reach"
	lostAnswer       verdict = "no answer, and no restart"
	strangeAnswer    verdict = "an answer that is not in the table"
)

// judge returns the fault of the answer to a call from begin to end. late is by how much timers were late meanwhile.
func judge(a answer, f facts, begin, end time.Time, late time.Duration) verdict {
	switch a {
	case lost:
		if f.Down {
			return right
		}
		return lostAnswer
	case accepted:
		return judgeAccepted(f, begin, late)
	case refused:
		if f.Bad || f.Unpublished || f.TooNew || came(f.RevokedFrom, end) ||
			came(f.Withdrawn, end) || came(f.Expires, end.Add(-leeway)) {
			return right
		}
		return refusedGood
	case unavailable:
		if f.Unpublished || f.Unknowable || came(f.Withdrawn, end) {
			return right
		}
		return unknownReachable
	case limited:
		if f.Unpublished || f.TooNew || f.Unknowable || came(f.Withdrawn, end) {
			return right
		}
		return limitedReachable
	default:
		return strangeAnswer
	}
}

func judgeAccepted(f facts, begin time.Time, late time.Duration) verdict {
	switch {
	case f.Bad || f.Unpublished:
		return acceptedBad
	case came(f.Expires, begin.Add(-leeway-late)):
		return acceptedOld
	case came(f.RevokedBy, begin.Add(-reach-late)):
		return acceptedRule
	case came(f.Gone, begin.Add(-late)):
		return acceptedGone
	}
	return right
}

// came reports whether a moment came, and before t.
func came(moment, t time.Time) bool { return !moment.IsZero() && moment.Before(t) }
