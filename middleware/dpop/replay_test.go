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
	require.NoError(t, c.Check(t.Context(), a.request(p)))
	requireRefused(t, c.Check(t.Context(), a.request(p)), verifier.ReasonInvalidProof, dpop.ErrUsed)
	again := a.request(p)
	again.URL = "HTTPS://api.example.com:443/./%6frders?other=query"
	requireRefused(t, c.Check(t.Context(), again), verifier.ReasonInvalidProof, dpop.ErrUsed)
	requireRefused(t, c.Check(t.Context(), a.request(a.proof(t, nil, members{"iat": issued.Unix() - 1}))), verifier.ReasonInvalidProof, dpop.ErrUsed)
	require.NoError(t, c.Check(t.Context(), b.request(b.proof(t, nil, nil))), "the same jti of another key")
	require.NoError(t, c.Check(t.Context(), a.request(a.proof(t, nil, members{"jti": "two"}))), "another jti")
	elsewhere := a.request(a.proof(t, nil, members{"htu": "https://api.example.com/accounts"}))
	elsewhere.URL = "https://api.example.com/accounts"
	require.NoError(t, c.Check(t.Context(), elsewhere), "a jti counts in the context of its URL")
}

// Nothing is remembered of a proof that is refused.
func TestRefusedProofsAreNotRemembered(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	store := &fakeReplay{}
	c := newChecker(t, dpop.Config{Replay: store})
	good := s.proof(t, nil, nil)
	require.Error(t, c.Check(t.Context(), s.request(good[:len(good)-2])))
	p := s.request(good)
	p.Token = "another"
	require.Error(t, c.Check(t.Context(), p))
	require.Empty(t, store.ids)
	require.NoError(t, c.Check(t.Context(), s.request(good)))
	require.Len(t, store.ids, 1)
}

type fakeReplay struct {
	err   error
	ids   []string
	until time.Time
}

func (f *fakeReplay) Seen(_ context.Context, id string, until time.Time) (bool, error) {
	f.ids, f.until = append(f.ids, id), until
	return false, f.err
}

func TestReplayStore(t *testing.T) {
	t.Parallel()
	a, b := signerFor(t, "ES256"), signerFor(t, "EdDSA")
	store := &fakeReplay{}
	c := newChecker(t, dpop.Config{Replay: store, MaxAge: 30 * time.Second, Leeway: 20 * time.Second})
	require.NoError(t, c.Check(t.Context(), a.request(a.proof(t, nil, members{"iat": issued.Unix() - 10}))))
	require.Equal(t, issued.Add(40*time.Second), store.until.Round(0), "as long as any process may accept it")
	require.NoError(t, c.Check(t.Context(), a.request(a.proof(t, nil, members{"jti": strings.Repeat("x", 256)}))))
	require.NoError(t, c.Check(t.Context(), b.request(b.proof(t, nil, nil))))
	for _, id := range store.ids {
		require.Regexp(t, `^[\w-]{22}\.[\w-]{43}$`, id)
		require.NotContains(t, id, a.thumbprint[:8])
	}
	require.Equal(t, store.ids[0][:22], store.ids[1][:22], "proofs of one key have a prefix in common")
	require.NotEqual(t, store.ids[0][23:], store.ids[1][23:])
	require.NotEqual(t, store.ids[0][:22], store.ids[2][:22])
	require.NotEqual(t, store.ids[0][23:], store.ids[2][23:], "a store that has no use for the prefix may do without")

	store.err = errors.New("connection lost")
	err := c.Check(t.Context(), a.request(a.proof(t, nil, nil)))
	requireRefused(t, err, verifier.ReasonProofUnavailable, store.err)
	store.err = verifier.ErrInvalid
	require.NotErrorIs(t, c.Check(t.Context(), a.request(a.proof(t, nil, nil))), verifier.ErrInvalid, "cannot tell is never invalid")
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
			if c.Check(t.Context(), p) == nil {
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
		require.NoError(t, c.Check(t.Context(), s.request(first)))
		time.Sleep(time.Minute)
		requireRefused(t, c.Check(t.Context(), s.request(first)), verifier.ReasonInvalidProof, dpop.ErrUsed)
		require.NoError(t, c.Check(t.Context(), s.request(second)))
		time.Sleep(time.Nanosecond)
		requireRefused(t, c.Check(t.Context(), s.request(first)), verifier.ReasonInvalidProof, dpop.ErrOld)
		time.Sleep(5 * time.Second)
		require.NoError(t, c.Check(t.Context(), s.request(s.proof(t, nil, members{"iat": time.Now().Unix()}))), "its jti is free again")
	})
}

func TestNoLeeway(t *testing.T) {
	t.Parallel()
	s := signerFor(t, "ES256")
	store := &fakeReplay{}
	c := newChecker(t, dpop.Config{Leeway: -1, Replay: store})
	require.NoError(t, c.Check(t.Context(), s.request(s.proof(t, nil, nil))))
	require.Equal(t, issued.Add(65*time.Second), store.until.Round(0))
	ahead := s.proof(t, nil, members{"iat": issued.Unix() + 1})
	requireRefused(t, c.Check(t.Context(), s.request(ahead)), verifier.ReasonInvalidProof, dpop.ErrFuture)
}
