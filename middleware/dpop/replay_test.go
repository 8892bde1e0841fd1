package dpop_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/middleware/dpop"
	"github.com/regionjwt/regionjwt/verifier"
)

func TestReplay(t *testing.T) {
	t.Parallel()
	a, b := signerFor(t, "ES256"), signerFor(t, "EdDSA")
	c := newChecker(t, dpop.Config{})
	p := a.proof(t, nil, nil)
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, a.request(p)))
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, a.request(p)), verifier.ReasonProofFailed, dpop.ErrUsed)
	again := a.request(p)
	again.URL = "HTTPS://api.example.com:443/./%6frders?other=query"
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, again), verifier.ReasonProofFailed, dpop.ErrUsed)
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, a.request(a.proof(t, nil, members{"iat": issued.Unix() - 1}))), verifier.ReasonProofFailed, dpop.ErrUsed)
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, b.request(b.proof(t, nil, nil))), "the same jti of another key")
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, a.request(a.proof(t, nil, members{"jti": "two"}))), "another jti")
	elsewhere := a.request(a.proof(t, nil, members{"htu": "https://api.example.com/accounts"}))
	elsewhere.URL = "https://api.example.com/accounts"
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, elsewhere), "a jti counts in the context of its URL")
}

// A proof that is rejected is not recorded.
func TestRejectedProofsAreNotRecorded(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	store := &fakeReplay{}
	c := newChecker(t, dpop.Config{Replay: store.seen})
	good := s.proof(t, nil, nil)
	require.Error(t, dpop.CheckPresentation(t.Context(), c, s.request(good[:len(good)-2])))
	p := s.request(good)
	p.Token = "another"
	require.Error(t, dpop.CheckPresentation(t.Context(), c, p))
	require.Empty(t, store.ids)
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(good)))
	require.Len(t, store.ids, 1)
}

type fakeReplay struct {
	err   error
	ids   []string
	until time.Time
}

func (f *fakeReplay) seen(_ context.Context, id string, until time.Time) (bool, error) {
	f.ids, f.until = append(f.ids, id), until
	return false, f.err
}

func TestReplayStore(t *testing.T) {
	t.Parallel()
	a, b := signerFor(t, "ES256"), signerFor(t, "EdDSA")
	store := &fakeReplay{}
	c := newChecker(t, dpop.Config{Replay: store.seen, MaxAge: 30 * time.Second, Leeway: 50 * time.Second})
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, a.request(a.proof(t, nil, members{"iat": issued.Unix() - 10}))))
	require.Equal(t, issued.Add(70*time.Second), store.until.Round(0), "as long as any process may accept it")
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, a.request(a.proof(t, nil, members{"jti": strings.Repeat("x", 256)}))))
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, b.request(b.proof(t, nil, nil))))
	for _, id := range store.ids {
		require.Regexp(t, `^[\w-]{22}\.[\w-]{43}$`, id)
		require.NotContains(t, id, a.thumbprint[:8])
	}
	require.Equal(t, store.ids[0][:22], store.ids[1][:22], "proofs of one key have a prefix in common")
	require.NotEqual(t, store.ids[0][23:], store.ids[1][23:])
	require.NotEqual(t, store.ids[0][:22], store.ids[2][:22])
	require.NotEqual(t, store.ids[0][23:], store.ids[2][23:], "a store that has no use for the prefix may do without")

	store.err = errors.New("connection lost")
	err := dpop.CheckPresentation(t.Context(), c, a.request(a.proof(t, nil, nil)))
	requireRejected(t, err, verifier.ReasonProofUnavailable, store.err)
	store.err = verifier.ErrInvalid
	require.NotErrorIs(t, dpop.CheckPresentation(t.Context(), c, a.request(a.proof(t, nil, nil))), verifier.ErrInvalid, "cannot tell is never invalid")
}

func TestOneOfManyIsAccepted(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	c := newChecker(t, dpop.Config{})
	p := s.request(s.proof(t, nil, nil))
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if dpop.CheckPresentation(t.Context(), c, p) == nil {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, accepted.Load())
}

// The story of a proof in real time: good for a minute, once; then too old, and forgotten.
func TestTime(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	synctest.Test(t, func(t *testing.T) {
		c, err := dpop.New(dpop.Config{})
		require.NoError(t, err)
		first, second := s.proof(t, nil, members{"iat": time.Now().Unix()}), s.proof(t, nil, members{"jti": "two", "iat": time.Now().Unix()})
		require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(first)))
		time.Sleep(time.Minute)
		requireRejected(t, dpop.CheckPresentation(t.Context(), c, s.request(first)), verifier.ReasonProofFailed, dpop.ErrUsed)
		require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(second)))
		time.Sleep(time.Nanosecond)
		requireRejected(t, dpop.CheckPresentation(t.Context(), c, s.request(first)), verifier.ReasonProofFailed, dpop.ErrOld)
		time.Sleep(30 * time.Second)
		require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, members{"iat": time.Now().Unix()}))), "its jti is free again")
	})
}

func TestNoLeeway(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	store := &fakeReplay{}
	c := newChecker(t, dpop.Config{Leeway: -1, Replay: store.seen})
	require.NoError(t, dpop.CheckPresentation(t.Context(), c, s.request(s.proof(t, nil, nil))))
	require.Equal(t, issued.Add(90*time.Second), store.until.Round(0))
	ahead := s.proof(t, nil, members{"iat": issued.Unix() + 1})
	requireRejected(t, dpop.CheckPresentation(t.Context(), c, s.request(ahead)), verifier.ReasonProofFailed, dpop.ErrFuture)
}
