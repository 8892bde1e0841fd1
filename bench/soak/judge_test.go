package main_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	soak "github.com/regionjwt/regionjwt/bench/soak"
)

// What may be said of a token in a call that takes no time: a, r, u and l are the answers that are right.
func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		facts soak.Facts
		right string
	}{
		"good":                        {soak.Facts{}, "a"},
		"bad":                         {soak.Facts{Bad: true}, "r"},
		"bad, key withdrawn":          {soak.Facts{Bad: true, Withdrawn: ago(time.Second)}, "rut"},
		"of an unknown key":           {soak.Facts{Unpublished: true}, "rut"},
		"good, key out of reach":      {soak.Facts{Unknowable: true}, "aut"},
		"good, key too new":           {soak.Facts{Unknowable: true, TooNew: true}, "arut"},
		"good, service down":          {soak.Facts{Down: true}, "al"},
		"bad, service down":           {soak.Facts{Bad: true, Down: true}, "rl"},
		"not yet expired":             {soak.Facts{Expires: now.Add(time.Second)}, "a"},
		"expired, within the leeway":  {soak.Facts{Expires: ago(time.Second / 2)}, "a"},
		"expired":                     {soak.Facts{Expires: ago(1200 * time.Millisecond)}, "r"},
		"rule being written":          {soak.Facts{RevokedFrom: ago(time.Second)}, "ar"},
		"rule written just now":       {soak.Facts{RevokedFrom: ago(time.Second), RevokedBy: ago(900 * time.Millisecond)}, "ar"},
		"rule written a while ago":    {soak.Facts{RevokedFrom: ago(2 * time.Second), RevokedBy: ago(1200 * time.Millisecond)}, "r"},
		"key withdrawn":               {soak.Facts{Withdrawn: ago(time.Minute)}, "arut"},
		"key withdrawn, and noticed":  {soak.Facts{Withdrawn: ago(2 * time.Minute), Gone: ago(time.Second)}, "rut"},
		"revoked, and key unknowable": {soak.Facts{RevokedFrom: ago(time.Minute), RevokedBy: ago(time.Minute), Unknowable: true}, "rut"},
	} {
		right := ""
		for letter, a := range map[string]soak.Answer{
			"a": soak.Accepted, "r": soak.Refused, "u": soak.Unavailable, "t": soak.Limited, "l": soak.Lost, "o": soak.Other,
		} {
			if soak.Judge(a, c.facts, now, now, 0) == "" {
				right += letter
			}
		}
		require.ElementsMatch(t, []byte(c.right), []byte(right), name)
	}
}

// Late timers excuse what depends on them, and nothing else.
func TestJudgeLate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	written := now.Add(-1300 * time.Millisecond)
	revoked := soak.Facts{RevokedFrom: written, RevokedBy: written}
	require.NotEmpty(t, soak.Judge(soak.Accepted, revoked, now, now, 200*time.Millisecond))
	require.Empty(t, soak.Judge(soak.Accepted, revoked, now, now, 400*time.Millisecond))
	require.NotEmpty(t, soak.Judge(soak.Accepted, soak.Facts{Bad: true}, now, now, time.Hour))
	require.NotEmpty(t, soak.Judge(soak.Refused, soak.Facts{}, now, now, time.Hour))
}

// A key is unknowable while its issuer is dark, and as long afterwards as the library may wait before it asks again.
func TestUnknowable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p soak.Past
		old := soak.NewKey()
		old.Prove()
		time.Sleep(time.Second)
		p.BeginDark()
		fresh := soak.NewKey()
		time.Sleep(4 * time.Second)
		require.True(t, p.Unknowable(fresh, time.Now()))
		require.False(t, p.Unknowable(old, time.Now()), "it is in memory")
		p.EndDark()
		time.Sleep(10 * time.Second)
		require.True(t, p.Unknowable(fresh, time.Now()), "the next attempt may not be due")
		time.Sleep(2 * time.Second)
		require.False(t, p.Unknowable(fresh, time.Now()))
		p.BeginDark()
		time.Sleep(time.Second)
		p.EndDark()
		time.Sleep(20 * time.Second)
		require.True(t, p.Unknowable(fresh, time.Now()), "the two were one outage")
		time.Sleep(time.Minute)
		require.False(t, p.Unknowable(fresh, time.Now()))
	})
}

// A flood uses up the fetches for unknown key IDs, but one comes back every 10 s.
func TestUnknowableInFlood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p soak.Past
		old := soak.NewKey()
		time.Sleep(15 * time.Second)
		p.BeginFlood()
		fresh := soak.NewKey()
		time.Sleep(time.Second)
		require.True(t, p.Unknowable(fresh, time.Now()))
		require.False(t, p.Unknowable(old, time.Now()), "it has been published for long")
		time.Sleep(13 * time.Second)
		require.False(t, p.Unknowable(fresh, time.Now()))
		p.EndFlood()
	})
}
