package jwks_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/jwks"
)

// checkTokens: a token signed with a key that is served verifies, and one that another key signed under its name does not,
// unless that one is served, too.
func (s *simulation) checkTokens(questions []*question) {
	for _, q := range questions {
		served := map[int]bool{}
		for _, k := range q.keys {
			served[slices.IndexFunc(s.jwks, func(m map[string]any) bool { return m["x"] == xOf(k) })] = true
		}
		for m := range served {
			s.verified++
			if _, err := s.verifier.Verify(context.Background(), s.token(q, m)); err != nil {
				require.False(s.t, s.hasNow(q, m), "false refusal: %v", err)
				continue
			}
			if other := (m + 1) % len(s.signers); !served[other] {
				s.verified++
				if _, err := s.verifier.Verify(context.Background(), s.token(q, other)); err == nil {
					require.True(s.t, s.hasNow(q, other), "false accept")
				}
			}
		}
	}
}

// hasNow reports whether the key with this material is served now; it may have come or gone since the question.
func (s *simulation) hasNow(q *question, material int) bool {
	keys, _ := s.cache.Keys(context.Background(), q.iss, q.kid)
	return slices.ContainsFunc(keys, func(k *jwks.Key) bool { return s.jwks[material]["x"] == xOf(k) })
}

// mayBeGone reports whether a URL of the regions that listed k has said since that it is gone, or has given its name to another
// key. Another URL that lists k is no objection: its answer may have come after the fetch was over, or in an inspection, which
// adds no keys. Once is enough for us: the cache may have seen an earlier answer, too.
func (s *simulation) mayBeGone(regions []*simRegion, k simKey) bool {
	for _, r := range regions {
		for _, u := range r.urls {
			listed := false
			for _, a := range u.answers {
				switch {
				case slices.Contains(a.keys, k):
					listed = true
				case listed, slices.ContainsFunc(a.keys, func(o simKey) bool { return o.kid == k.kid }):
					return true
				}
			}
		}
	}
	return false
}

// check compares an answer with the truth.
func (s *simulation) check(q *question) {
	s.asked++
	require.LessOrEqual(s.t, q.took, jwks.DefaultUnknownKeyWait, "a caller waits for a bounded time")
	if len(q.atHand) > 0 {
		require.NoError(s.t, q.err, "I2: %v was at hand", q.atHand)
		require.Zero(s.t, q.took, "I3: %v was at hand", q.atHand)
	} else {
		s.worstWait = max(s.worstWait, int(q.took.Milliseconds()))
	}
	if s.had[q.iss] == nil {
		s.had[q.iss] = map[simKey]simAge{}
	}
	for k := range s.had[q.iss] {
		if k.kid == q.kid {
			delete(s.had[q.iss], k)
		}
	}
	switch {
	case q.err == nil:
		s.served++
		for i, k := range q.keys {
			s.checkServed(q, k, q.ages[i])
		}
		for _, k := range q.atHand {
			if !s.replacedMeanwhile(q, k) {
				require.Contains(s.t, s.had[q.iss], k, "I2: it was at hand")
			}
		}
	case errors.Is(q.err, jwks.ErrUnknownKey):
		s.unknown++
		s.checkUnknown(q)
	default:
		require.ErrorIs(s.t, q.err, jwks.ErrUnavailable)
		s.unavailable++
		healthy := s.allHealthyFor(q.iss)
		require.Less(s.t, healthy, 3*time.Minute, "cannot tell %q, though all has been well for %v", q.kid, healthy)
	}
}

// replacedMeanwhile reports whether a URL has given the name of k to another key in the instant of the question: another
// question may have had it asked.
func (s *simulation) replacedMeanwhile(q *question, k simKey) bool {
	for _, r := range s.serves[q.iss] {
		for _, u := range r.urls {
			for _, a := range u.answers {
				if a.mono >= q.began && slices.ContainsFunc(a.keys, func(o simKey) bool { return o.kid == k.kid && o != k }) {
					return true
				}
			}
		}
	}
	return false
}

// checkServed: I1. A key that is served was listed, within MaxStale, by a URL of a region that lists the issuer, and is not
// one that all of them have long withdrawn.
func (s *simulation) checkServed(q *question, k *jwks.Key, age time.Duration) {
	require.Equal(s.t, q.kid, k.ID)
	listed, youngest := false, time.Duration(1<<62)
	var key simKey
	for _, r := range s.serves[q.iss] {
		for _, u := range r.urls {
			for _, a := range u.answers {
				for _, candidate := range a.keys {
					if candidate.kid == q.kid && s.jwks[candidate.material]["x"] == xOf(k) {
						listed, key = true, candidate
						youngest = min(youngest, s.age(a))
					}
				}
			}
		}
	}
	require.True(s.t, listed, "I1: nobody listed %v for %s", k.ID, q.iss)
	require.LessOrEqual(s.t, youngest, jwks.DefaultMaxStale+wallSkew, "I1: too old")
	require.GreaterOrEqual(s.t, age+5*time.Second+wallSkew, youngest, "it cannot be younger than the last answer that lists it")
	mono, wall := s.readLocked()
	s.had[q.iss][key] = simAge{age, mono, wall}
	s.checkNotWithdrawn(q, key)
}

// checkNotWithdrawn: a key goes once every URL that listed it has given answers without it for long enough. Five minutes and
// four answers are far more than the cache needs, whichever of the answers it was given up on.
func (s *simulation) checkNotWithdrawn(q *question, k simKey) {
	for _, r := range s.serves[q.iss] {
		for _, u := range r.urls {
			without, first, last := 0, int64(0), int64(0)
			ever := false
			for _, a := range u.answers {
				if a.mono >= q.began {
					if slices.Contains(a.keys, k) {
						return // it has just come
					}
					continue
				}
				if slices.Contains(a.keys, k) {
					ever, without = true, 0
					continue
				}
				if without++; without == 1 {
					first = a.mono
				}
				last = a.mono
			}
			if ever && (without < 4 || time.Duration(last-first) < 5*time.Minute) {
				return // this one may still list it, as far as the cache knows
			}
		}
	}
	s.t.Fatalf("I1: %v of %s was withdrawn everywhere", k, q.iss)
}

// checkUnknown: I6. A key that has been published for a while by a URL that counts is never called unknown.
func (s *simulation) checkUnknown(q *question) {
	for _, r := range s.serves[q.iss] {
		for _, u := range r.urls {
			d := s.published(u)
			for _, k := range d.keys {
				if k.kid != q.kid || s.truth()-max(d.since[k], u.mended) < 45*time.Second {
					continue
				}
				if !u.good && u.fault == missing {
					continue // not enabled
				}
				dark := len(u.answers) == 0 || s.age(u.answers[len(u.answers)-1]) > jwks.DefaultMaxStale
				if dark && (u.good || s.truth() > jwks.DefaultMaxStale) {
					continue
				}
				s.t.Fatalf("I6: %v is published by %s since %v (now %v), and called unknown", k, u.url, d.since[k], s.truth())
			}
		}
	}
}

// checkRates: I4. A burst of five, one in ten seconds, refreshes of at most one a minute, and one a second while a set is empty.
func (s *simulation) checkRates() {
	for _, u := range s.byURL {
		for i, from := range u.asked {
			n := 0
			for _, at := range u.asked[i:] {
				if at-from > 10*time.Second {
					break
				}
				n++
			}
			s.worstRate = max(s.worstRate, n)
			require.LessOrEqual(s.t, n, 14, "I4: requests of %s within ten seconds", u.url)
		}
	}
}

// xOf is the x coordinate of a key as its JWK has it.
func xOf(k *jwks.Key) string {
	point, err := k.Public.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(point[1:33])
}
