package jwks_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/jwks"
)

// simQuestion is one call of Lookup.
type simQuestion struct {
	iss, kid  string
	began     time.Duration // by the life of the process
	iat       time.Duration // before the question
	noIAT     bool
	again     bool     // the kid was asked for in the last minute or so
	atHand    []simKey // what must be among the answer, at once
	result    jwks.Result
	ages      []time.Duration
	took      time.Duration
	wrong     bool // a token that another key of that name has signed is called bad
	tookTried time.Duration
	cached    jwks.Result // the same question, from memory alone
}

// step asks from several goroutines at once, then checks the answers.
func (s *simulation) step() {
	synctest.Wait()
	s.mu.Lock()
	s.forget()
	questions := s.questions()
	s.mu.Unlock()
	forged := s.simFlood()
	var wg sync.WaitGroup
	for i, q := range questions {
		start := time.Duration(i+1) * 1009 * time.Nanosecond // nobody at the same time
		if s.flooding > 0 && len(q.atHand) == 0 {
			start += time.Duration(s.chance.Int64N(int64(2 * time.Second)))
		}
		if len(q.atHand) > 0 {
			q.began = s.lived() + start
		}
		wg.Go(func() { s.ask(q, start) })
	}
	if s.chance.IntN(20) == 0 {
		wg.Go(func() {
			time.Sleep(700*time.Microsecond + 77)
			s.mu.Lock()
			config := s.config()
			s.mu.Unlock()
			_ = s.cache.Update(config) // the same again changes nothing
		})
	}
	wg.Wait()
	forged()
	synctest.Wait()
	s.judge(questions)
	s.checkSignatures(questions)
	s.checkHeld(questions)
}

func (s *simulation) judge(questions []*simQuestion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flooding > 0 {
		s.flooded = s.lived()
	}
	for _, q := range questions {
		s.note(s.lived(), q.iss, q.kid, len(q.result.Keys), q.result.Complete, q.took)
		s.check(q)
	}
	s.checkRates()
}

func (s *simulation) ask(q *simQuestion, start time.Duration) {
	time.Sleep(start)
	query := jwks.Query{Issuer: q.iss, KeyID: q.kid, Algorithm: "ES256"}
	if !q.noIAT {
		_, wall := s.read()
		query.IssuedAt = time.Unix(0, wall).Add(-q.iat)
	}
	began := time.Now()
	q.began = began.Sub(s.base)
	q.result = s.cache.Lookup(context.Background(), query)
	q.took = time.Since(began)
	for _, k := range q.result.Keys {
		q.ages = append(q.ages, k.Age())
	}
	if len(q.result.Keys) > 0 && s.hasOther(q) { // a token that it has signed
		for _, k := range q.result.Keys {
			query.Tried = append(query.Tried, k.Thumbprint())
		}
		r := s.cache.Lookup(context.Background(), query)
		q.tookTried = time.Since(began) - q.took
		q.wrong = len(r.Keys) == 0 && r.Complete
		query.Tried = nil
	}
	query.CacheOnly = true
	q.cached = s.cache.Lookup(context.Background(), query)
}

// hasOther reports whether a key of that name is published that was not returned.
func (s *simulation) hasOther(q *simQuestion) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.serving(q.iss) {
		for _, k := range s.published(u).keys {
			if k.kid == q.kid && !slices.ContainsFunc(q.result.Keys, func(o *jwks.Key) bool { return s.material(o) == k.material }) {
				return true
			}
		}
	}
	return false
}

// questions makes some: for keys that were in memory, keys that are published or will be, keys that are gone, and names of
// nobody.
func (s *simulation) questions() (qs []*simQuestion) {
	for _, iss := range s.issuers() {
		kids := []string{"nobody", fmt.Sprintf("nobody-%d", s.chance.IntN(1000))}
		urls := s.serving(iss)
		for _, u := range urls {
			for _, k := range s.published(u).keys {
				kids = append(kids, k.kid)
			}
			if len(u.answers) > 0 && len(u.answers[0].keys) > 0 {
				kids = append(kids, u.answers[0].keys[0].kid)
			}
			if u.region.next != nil {
				kids = append(kids, u.region.next.kid)
			}
		}
		for k := range s.had[iss] {
			kids = append(kids, k.kid)
		}
		slices.Sort(kids)
		for _, kid := range slices.Compact(kids) {
			q := &simQuestion{iss: iss, kid: kid, noIAT: s.chance.IntN(4) == 0}
			q.iat = []time.Duration{0, 30 * time.Second, 10 * time.Minute, 50 * time.Minute}[s.chance.IntN(4)]
			for k, age := range s.had[iss] {
				if k.kid == kid && s.ageNow(age) < 24*time.Hour-10*time.Second && !s.mayBeGone(urls, k) {
					q.atHand = append(q.atHand, k)
				}
			}
			if s.crowd(urls, kid) {
				q.atHand = nil
			}
			if len(q.atHand) > 0 || s.chance.IntN(4) == 0 {
				last, known := s.lastAsk[iss+kid]
				q.again = known && s.lived()-last < 100*time.Second
				s.lastAsk[iss+kid] = s.lived()
				qs = append(qs, q)
			}
		}
	}
	return qs
}

// crowd reports whether there may be more keys of that name than are tried.
func (s *simulation) crowd(urls []*simURL, kid string) bool {
	seen := map[simKey]bool{}
	for _, u := range urls {
		for _, a := range u.answers {
			for _, k := range a.keys {
				if k.kid == kid {
					seen[k] = true
				}
			}
		}
	}
	return len(seen) > 4
}

// checkSignatures: a signature of a key that was returned verifies by one of them, and a signature of another key does not.
func (s *simulation) checkSignatures(questions []*simQuestion) {
	for _, q := range questions {
		if len(q.result.Keys) == 0 || s.chance.IntN(3) > 0 {
			continue
		}
		verifies := func(m int) bool {
			s.verified++
			return slices.ContainsFunc(q.result.Keys, func(k *jwks.Key) bool {
				return jose.Verify("ES256", k.Public(), simInput, s.signatures[m]) == nil
			})
		}
		mine := s.material(q.result.Keys[s.chance.IntN(len(q.result.Keys))])
		require.True(s.t, verifies(mine), "a false refusal")
		other := s.chance.IntN(len(s.prints))
		if !slices.ContainsFunc(q.result.Keys, func(k *jwks.Key) bool { return s.material(k) == other }) {
			require.False(s.t, verifies(other), "a false acceptance")
		}
	}
}

// checkHeld: a key that an answer gave is valid exactly while it is still an answer.
func (s *simulation) checkHeld(questions []*simQuestion) {
	for _, q := range questions {
		for _, k := range q.result.Keys {
			s.held = append(s.held, simHeld{q.iss, q.kid, k})
		}
	}
	if n := len(s.held) - 60; n > 0 {
		s.chance.Shuffle(len(s.held), func(i, j int) { s.held[i], s.held[j] = s.held[j], s.held[i] })
		s.held = s.held[n:]
	}
	for _, h := range s.held {
		r := s.cache.Lookup(context.Background(), jwks.Query{Issuer: h.iss, KeyID: h.kid, Algorithm: "ES256", CacheOnly: true})
		if len(r.Keys) < 4 {
			require.Equal(s.t, slices.Contains(r.Keys, h.key), h.key.Valid(), "%s %s", h.iss, h.kid)
		}
	}
	synctest.Wait()
}

// all spoils or heals every URL.
func (s *simulation) all(f simFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.urls {
		if !u.optional {
			s.spoil(u, f)
		}
		u.only = 0
		u.lagging = nil
	}
}
