package verifier_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// entry is a key in the set of a region: the material of a signer, under a kid or without one (""). If it is odd, nobody can read it.
type entry struct {
	material int
	kid      string
	odd      bool
}

// judgeUnnamed says what AllowMissingKeyID means, without looking at the code: "" and the regions of a token that is accepted, or why
// it is rejected. The token has that kid, or none, and its signer may have an entry.
func judgeUnnamed(sets map[string][]entry, kid string, signer int) (reason string, regions []string) {
	asked := func(e entry) bool { return kid == "" || e.kid == kid }
	all := slices.Concat(sets[east], sets[west])
	if !slices.ContainsFunc(all, func(e entry) bool { return asked(e) && !e.odd }) {
		asked = func(e entry) bool { return e.kid == kid || e.kid == "" }
		if materials(all, func(e entry) bool { return e.kid == "" }) > 4 {
			asked = func(e entry) bool { return e.kid == kid }
		}
	}
	if materials(all, asked) > 4 {
		return "malformed", nil
	}
	for _, region := range []string{east, west} {
		if slices.ContainsFunc(sets[region], func(e entry) bool { return asked(e) && !e.odd && e.material == signer }) {
			regions = append(regions, region)
		}
	}
	switch {
	case len(regions) > 0:
		return "", regions
	case slices.ContainsFunc(all, func(e entry) bool { return asked(e) && e.odd }):
		return "keys_unavailable", nil
	case kid != "" && slices.ContainsFunc(all, func(e entry) bool { return e.kid == kid && !e.odd }):
		return "bad_signature", nil
	}
	return "unknown_key", nil
}

func materials(all []entry, asked func(entry) bool) int {
	found := map[int]bool{}
	for _, e := range all {
		if asked(e) && !e.odd {
			found[e.material] = true
		}
	}
	return len(found)
}

// generatedSets are the sets of two regions, the second one of which has at least one key.
func generatedSets(r *rand.Rand) map[string][]entry {
	kids := []string{"", "", "a", "b", "c"}
	sets := map[string][]entry{}
	for _, region := range []string{east, west} {
		for range 1 + r.IntN(5) {
			sets[region] = append(sets[region], entry{material: r.IntN(6), kid: kids[r.IntN(len(kids))], odd: r.IntN(12) == 0})
		}
		sets[region] = append(sets[region], entry{material: r.IntN(6), kid: "d"})
	}
	return sets
}

func (s *scene) published(list []entry) (members []map[string]any) {
	for _, e := range list {
		var kid any
		if e.kid != "" {
			kid = e.kid
		}
		m := withKid(s.members[e.material], kid)
		if e.odd {
			m["crv"] = "P-999"
		}
		members = append(members, m)
	}
	return members
}

// Every token and key set with and without kids, of two regions that share keys under any names: what is accepted, of which
// regions, and why not, with and without a cache, and after the key sets have changed.
func TestTokensWithoutKidAgreeWithAnotherReader(t *testing.T) {
	t.Parallel()
	outcomes := map[string]int{}
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			s := newScene(t, 7) // nobody ever publishes the last key
			sets := generatedSets(r)
			p := newSets(s, map[string][]map[string]any{east: s.published(sets[east]), west: s.published(sets[west])})
			tokens := map[string]string{}
			check := func() {
				for _, kid := range []string{"", "a", "x"} {
					for signer := range 7 {
						name := fmt.Sprint(kid, " ", signer)
						header := set{"kid": kid}
						if kid == "" {
							header = set{"kid": nil}
						}
						if tokens[name] == "" {
							tokens[name] = s.sign(signer, header, set{"exp": time.Now().Add(10 * time.Hour).Unix()})
						}
						want, regions := judgeUnnamed(sets, kid, signer)
						what := fmt.Sprintf("seed %d, token %s of %v", seed, name, sets)
						time.Sleep(11 * time.Second)
						tok, reason := p.agree(tokens[name])
						require.Equal(t, want, reason, what)
						outcomes[reason]++
						if reason == "" {
							require.Equal(t, regions, tok.Regions(), what)
						}
					}
				}
			}
			check()
			added := entry{material: r.IntN(6), kid: []string{"", "a", "b"}[r.IntN(3)]} // in a set, nothing else changes
			sets[west] = append(slices.Clone(sets[west]), added)
			p.publish(west, s.published(sets[west])...)
			p.refresh()
			check()
			p.stop()
		})
	}
	for _, reason := range []string{"", "malformed", "keys_unavailable", "bad_signature", "unknown_key"} {
		require.Greater(t, outcomes[reason], 20, "%q of %v", reason, outcomes)
	}
	t.Log(outcomes)
}

// If more keys without kid fit than are tried, none of them is: the token is one of an unknown kid, not one that waits for ever.
func TestTooManyKeysWithoutKid(t *testing.T) {
	t.Parallel()
	s := newScene(t, 6)
	for _, m := range s.members[:5] {
		delete(m, "kid")
	}
	s.policy.AllowMissingKeyID = true
	_, err := s.verify(s.sign(0, set{"kid": "other"}, nil))
	require.Equal(t, "unknown_key", reasonOf(t, errOf(err)))
	_, err = s.verify(s.sign(5, nil, nil))
	require.Empty(t, reasonOf(t, errOf(err)))
}
