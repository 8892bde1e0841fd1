package jwks_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// faults are the ways in which a region can be down.
var faults = []func(*fakeissuer.Server, string){
	func(w *fakeissuer.Server, r string) { w.Break(r) },
	func(w *fakeissuer.Server, r string) { w.Hang(r) },
	func(w *fakeissuer.Server, r string) { w.Status(r, http.StatusServiceUnavailable, nil) },
	func(w *fakeissuer.Server, r string) { w.Status(r, 429, http.Header{"Retry-After": {"30"}}) },
	func(w *fakeissuer.Server, r string) {
		w.Status(r, 302, http.Header{"Location": {"https://idp.example/"}})
	},
	func(w *fakeissuer.Server, r string) { w.Corrupt(r, []byte("<html>sign in</html>")) },
	func(w *fakeissuer.Server, r string) { w.Corrupt(r, []byte(`{"keys":[]}`)) },
	func(w *fakeissuer.Server, r string) { w.Corrupt(r, []byte(`{}`)) },
	func(w *fakeissuer.Server, r string) { w.Corrupt(r, []byte(strings.Repeat(" ", 1<<20))) },
	func(w *fakeissuer.Server, r string) { w.Slow(r, time.Minute) },
}

func oneServerFails(s *stage) {
	s.start()
	s.accepts(east)
	for _, spoil := range faults {
		spoil(s.Server, east)
		for range 4 {
			s.pass(20 * time.Minute)
			s.accepts(east)
			s.accepts(west)
		}
	}
}

func everyMirrorIsDown(s *stage) {
	s.start()
	s.accepts(east)
	s.Break(east)
	s.Hang(west)
	s.pass(23 * time.Hour)
	s.accepts(east)
	s.pass(2 * time.Hour)
	s.says(verifier.ReasonKeysUnavailable, s.verify(east, fakeissuer.Claims{}))
}

func startWithoutOneRegion(s *stage) {
	s.Hang(east)
	s.start()
	s.accepts(west)
	s.says(verifier.ReasonKeysUnavailable, s.verify(east, fakeissuer.Claims{}))
	s.Restore(east)
	s.becomes(11*time.Second, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })

	s.scene(fakeissuer.OneIssuerSharedKeys)
	s.Hang(east)
	s.start()
	s.accepts(west)
	s.accepts(east) // a mirror has its keys
}

func startWithoutAll(s *stage) {
	s.Break(east)
	s.Break(west)
	s.start()
	for range 5 { // while no key set of the process is usable, it is never 429
		err := s.verify(east, fakeissuer.Claims{})
		s.says(verifier.ReasonKeysUnavailable, err)
		s.cannotTell(err)
	}
	s.Restore(east)
	s.pass(1200 * time.Millisecond)
	s.accepts(east)
}

func startFromSnapshot(s *stage) {
	s.start()
	s.accepts(east)
	s.becomes(time.Minute, func() bool { // it has been written
		s.start()
		s.Break(east)
		defer s.Restore(east)
		return s.verify(east, fakeissuer.Claims{}) == nil
	})
	s.Break(east)
	s.pass(10 * time.Hour)
	s.start()
	s.accepts(east)
	status := s.cache.Status()[0]
	require.Equal(s.t, "snapshot", status.State)
	s.pass(15 * time.Hour)
	s.says(verifier.ReasonKeysUnavailable, s.verify(east, fakeissuer.Claims{}))
}

func rotatedDuringOutage(s *stage) {
	s.start()
	s.accepts(east)
	s.Break(east)
	old := s.Issue(east, fakeissuer.Claims{})
	s.Rotate(east)
	for range 5 {
		s.pass(time.Minute)
		s.cannotTell(s.verify(east, fakeissuer.Claims{}))
		require.NoError(s.t, s.judge(old))
	}
	s.Restore(east)
	s.becomes(2*time.Second, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })
}

func connectionDies(s *stage) {
	var document atomic.Pointer[[]byte]
	publish := func() {
		doc := set(s.published(s.Server)...)
		document.Store(&doc)
	}
	publish()
	answer := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(*document.Load()) }
	var die func()
	if s.sockets {
		d, url := s.mortal(answer)
		s.provider.Regions[0].JWKSURLs, die = []string{url}, d.die
	} else { // the first request after that goes to the dead connection
		dead := make(chan struct{}, 1)
		die = func() { dead <- struct{}{} }
		s.provider.Regions[0].JWKSURLs = []string{s.host("mortal.example", func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-dead:
				<-r.Context().Done()
			default:
				answer(w, r)
			}
		})}
	}
	s.start()
	s.accepts(east)
	for range 3 {
		s.pass(time.Minute)
		die()
		s.Rotate(east)
		publish()
		began := time.Now()
		s.accepts(east)
		require.Less(s.t, time.Since(began), 2500*time.Millisecond)
	}
}

func notEnabled(s *stage) {
	s.Status(west, http.StatusNotFound, nil) // the replica's own host; its mirror is the primary's
	s.start()
	s.accepts(west)
	s.says(verifier.ReasonUnknownKey, s.verify(west, unknownKid(0)))
	asked := s.Fetches(west)
	for range 10 {
		s.pass(time.Minute)
		s.accepts(west)
	}
	require.LessOrEqual(s.t, s.Fetches(west), asked+1, "it is asked again once an hour")
	for _, st := range s.cache.Status() {
		if strings.Contains(st.URL, west) || s.sockets && st.State != "fresh" {
			require.Contains(s.t, []string{"not_enabled", "empty"}, st.State)
		}
	}
	s.Restore(west)
	s.Lag(east)
	s.Rotate(west) // it alone has the new key
	s.pass(11 * time.Second)
	s.accepts(west)
}

func rotatedIn(s *stage) {
	s.start()
	s.accepts(east)
	s.accepts(west)
	s.pass(time.Minute)
	s.Rotate(west)
	before := s.Fetches(west)
	answers := make(chan error, 1000)
	raw := s.Issue(west, fakeissuer.Claims{})
	for range cap(answers) {
		go func() { _, err := s.verifier.Verify(s.t.Context(), raw); answers <- err }()
	}
	for range cap(answers) {
		require.NoError(s.t, <-answers)
	}
	// One for the tokens, and one may be a refresh.
	require.LessOrEqual(s.t, s.Fetches(west), before+2)
}

func tokenBeforeItsKey(s *stage) {
	s.start()
	s.accepts(east)
	s.Lag(east)
	s.Rotate(east)
	for range 3 {
		require.Error(s.t, s.verify(east, fakeissuer.Claims{}))
		s.pass(time.Second)
	}
	s.Restore(east)
	s.becomes(2*time.Second, func() bool { return s.verify(east, fakeissuer.Claims{}) == nil })
}

func withdrawn(s *stage) {
	s.start()
	old := s.Issue(east, fakeissuer.Claims{})
	require.NoError(s.t, s.judge(old))
	s.pass(time.Second)
	s.Rotate(east)
	s.Withdraw(east)
	s.accepts(east) // the first answer without it
	require.NoError(s.t, s.judge(old), "one answer is not enough")
	s.pass(2 * time.Minute)
	s.becomes(time.Minute, func() bool { return s.judge(old) != nil })
	s.cannotTell(s.judge(old))
	s.becomes(2*time.Minute, func() bool {
		return s.dress.forgets || category(s.judge(old)) == verifier.ErrInvalid
	})
	s.accepts(east)
}
