package e2e_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// Hosts go dark. A service that knows the keys notices nothing. One that starts now accepts the tokens of every region
// whose keys some host still publishes, and says of the others that it cannot tell, until the hosts return.
func TestRegionDark(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode    issuer.CognitoMode
		updated bool     // the pool is in the updated mode
		dark    []string // hosts
		lost    string   // the region whose keys no host publishes any more, if any
	}{
		"original, primary dark":                 {issuer.CognitoOriginal, false, []string{hostEast}, east},
		"original, replica dark":                 {issuer.CognitoOriginal, false, []string{hostWest}, west},
		"any, before the switch, primary dark":   {issuer.CognitoAny, false, []string{hostEast}, east},
		"any, after the switch, primary dark":    {issuer.CognitoAny, true, []string{hostEast, hostUpdated}, east},
		"updated, primary dark":                  {issuer.CognitoUpdated, true, []string{hostEast, hostUpdated}, east},
		"updated, the primary's original dark":   {issuer.CognitoUpdated, true, []string{hostEast}, ""},
		"updated, the replica's original dark":   {issuer.CognitoUpdated, true, []string{hostWest}, ""},
		"updated, the issuer's own host dark":    {issuer.CognitoUpdated, true, []string{hostUpdated}, ""},
		"updated, both of the other hosts dark":  {issuer.CognitoUpdated, true, []string{hostEast, hostWest}, ""},
		"any, after the switch, originals' dark": {issuer.CognitoAny, true, []string{hostEast, hostWest}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := newAWS(t)
			iss := map[string]string{east: issEast, west: issWest}
			if c.updated {
				world.switchToUpdated(t)
				iss = map[string]string{east: issUpdated, west: issUpdated}
			}
			warm := validator(t, world.client(), machines(t, c.mode))
			for region, iss := range iss {
				accepted(t, warm, world.machine(t, region, iss))
			}
			misaddressed := world.issue(t, east, iss[east], grant{client: "app", user: "alice"}).Access

			world.close(c.dark...)
			cold := validator(t, world.client(), machines(t, c.mode))
			for region, iss := range iss {
				raw := world.machine(t, region, iss)
				accepted(t, warm, raw)
				if region == c.lost {
					refused(t, cold, raw, verifier.ReasonKeysUnavailable)
				} else {
					accepted(t, cold, raw)
				}
			}
			refused(t, cold, misaddressed, verifier.ReasonBadAudience) // this much is certain without keys

			world.open(world.ca, c.dark...)
			for region, iss := range iss {
				recovers(t, cold, world.machine(t, region, iss))
			}
		})
	}
}

// recovers waits until v accepts a token, and demands that it never calls it invalid on the way.
func recovers(t *testing.T, v *regionjwt.Validator, raw string) {
	t.Helper()
	eventually(t, func() bool {
		_, err := v.Verify(t.Context(), raw)
		require.False(t, isInvalid(err), "%v", err)
		return err == nil
	})
}

// A service that starts while the whole provider is dark never says that a token is bad.
func TestAllDark(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	raws := []string{world.machine(t, east, issEast), world.machine(t, west, issWest)}
	warm := validator(t, world.client(), machines(t, issuer.CognitoAny))
	require.NoError(t, warm.Preload(t.Context()))
	all := []string{hostEast, hostWest, hostUpdated}
	world.close(all...)
	cold := validator(t, world.client(), machines(t, issuer.CognitoAny))
	require.Error(t, cold.Preload(t.Context()))
	for _, raw := range raws {
		accepted(t, warm, raw)
		refused(t, cold, raw, verifier.ReasonKeysUnavailable)
		broken := raw[:strings.LastIndex(raw, ".")+1] + "AAAA"
		refused(t, warm, broken, verifier.ReasonBadSignature)
		refused(t, cold, broken, verifier.ReasonKeysUnavailable) // not without the key
	}
	world.open(world.ca, all...)
	for _, raw := range raws {
		recovers(t, cold, raw)
	}
}

// Somebody else answers under the primary's name, with keys of their own, and no certificate that the client trusts.
func TestImpostor(t *testing.T) {
	t.Parallel()
	world := newAWS(t)
	world.close(hostEast)
	world.open(newTestCA(t), hostEast)
	world.rings["elsewhere"] = newRing(t, "RS256")
	world.open(world.ca, domain("elsewhere"))
	world.publish(hostEast, pool, newProvider(t, issEast, world.rings["elsewhere"]))
	v := validator(t, world.client(), machines(t, issuer.CognitoOriginal))
	genuine := world.machine(t, east, issEast)
	forgery := world.machine(t, "elsewhere", issEast)
	for _, raw := range []string{forgery, genuine} {
		refused(t, v, raw, verifier.ReasonKeysUnavailable)
	}
	status := v.Status().Keys[0]
	require.Equal(t, east, status.Region)
	require.Equal(t, "tls", status.Failure)
	accepted(t, v, world.machine(t, west, issWest))

	world.publish(hostEast, pool, newProvider(t, issEast, world.rings[east]))
	world.close(hostEast)
	world.open(world.ca, hostEast)
	recovers(t, v, genuine)
	refused(t, v, forgery, verifier.ReasonUnknownKey)
}

// The host of the updated mode publishes the primary's keys only, and the replica's own host is dark: the replica's token
// names a key that nobody else can know, so there is no verdict.
func TestMirrorThatLacksAKeyIsNoVerdict(t *testing.T) {
	t.Parallel()
	for _, mode := range []issuer.CognitoMode{issuer.CognitoUpdated, issuer.CognitoAny} {
		world := newAWS(t)
		world.publish(hostUpdated, pool, newProvider(t, issUpdated, world.rings[east]))
		raw := world.machine(t, west, issUpdated)
		world.close(hostWest)
		_, err := validator(t, world.client(), machines(t, mode)).Verify(t.Context(), raw)
		require.ErrorIs(t, err, verifier.ErrUnavailable)
		require.NotErrorIs(t, err, verifier.ErrInvalid)
	}
}
