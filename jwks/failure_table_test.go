package jwks_test

import (
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

// row is one event of the failure table.
type row struct {
	event  string // as the README has it
	layout fakeissuer.Layout
	play   func(*stage)
}

var rows = []row{
	{
		"one region's key server refuses, hangs, answers 5xx, 429, garbage, `{}`, `{\"keys\":[]}`, 50 MB, or redirects",
		fakeissuer.IssuerPerRegion, oneServerFails,
	},
	{"every JWKS URL of a key set is down", fakeissuer.OneIssuerSharedKeys, everyMirrorIsDown},
	{"start while one region is down", fakeissuer.IssuerPerRegion, startWithoutOneRegion},
	{"start while all is down, without a snapshot", fakeissuer.IssuerPerRegion, startWithoutAll},
	{"start while all is down, snapshot younger than MaxStale", fakeissuer.IssuerPerRegion, startFromSnapshot},
	{"the key server was down for minutes, a key was rotated meanwhile, it returns", fakeissuer.IssuerPerRegion, rotatedDuringOutage},
	{
		"a connection dies silently while the host is well (NAT, load balancer, region moved by DNS)",
		fakeissuer.IssuerPerRegion, connectionDies,
	},
	{
		"an optional URL (`Region.OptionalJWKSURLs`) has never had a good answer and says 403 or 404, while another URL works",
		fakeissuer.Cognito, notEnabled,
	},
	{"a key is rotated in", fakeissuer.OneIssuer, rotatedIn},
	{"a token arrives before its key is published", fakeissuer.IssuerPerRegion, tokenBeforeItsKey},
	{"a key is withdrawn", fakeissuer.IssuerPerRegion, withdrawn},
	{
		"a URL whose answers differ from request to request, a CDN that serves old copies, backends that share an ETag",
		fakeissuer.IssuerPerRegion, answersDiffer,
	},
	{
		"a key that is listed but cannot be used (odd parameters, unknown type, too small)",
		fakeissuer.IssuerPerRegion, unusableKeys,
	},
	{"several keys with one key ID (by alg, type, JWKS URL or region)", fakeissuer.IssuerPerRegion, severalKeysOfOneKeyID},
	{"`jwks_uri` moves", fakeissuer.IssuerPerRegion, keySetMoves},
	{"10,000 tokens with random key IDs", fakeissuer.IssuerPerRegion, floodOfKeyIDs},
	{"unknown key ID", fakeissuer.OneIssuer, unknownKeyID},
	{"a caller gives up", fakeissuer.IssuerPerRegion, callerGivesUp},
	{"the clock jumps, a process is frozen and thawed", fakeissuer.IssuerPerRegion, clockJumps},
}

// elsewhere lists the events of the README that other packages play, each with its test.
var elsewhere = map[string]string{"the revocation store is down at start": "../revocation/list_test.go: TestUnknownRules"}

// playAll plays each row.
func playAll(t *testing.T, sockets bool, dress costume) {
	t.Helper()
	var waiting sync.WaitGroup
	for _, r := range rows {
		play := func(t *testing.T) {
			s := newStage(t, r.layout, sockets, dress)
			defer s.end()
			r.play(s)
		}
		if sockets { // these wait for most of their time: all at once, however few tests run in parallel
			waiting.Go(func() { t.Run(r.event, play) })
			continue
		}
		t.Run(r.event, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, play)
		})
	}
	waiting.Wait()
}

func TestFailureTable(t *testing.T) {
	t.Parallel()
	playAll(t, false, plain)
}

// It runs before the tests that are parallel: time is real here, and a machine that is busy with them lets requests time out.
func TestFailureTableOverSockets(t *testing.T) { //nolint:paralleltest // see above
	playAll(t, true, plain)
}

// The rows are those of the README, one test each.
func TestFailureTableIsTheREADMEs(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(readme), "| event | what callers see |\n|---|---|\n")
	require.True(t, ok)
	table, _, _ := strings.Cut(after, "\n\n")
	var events []string
	for line := range strings.SplitSeq(strings.TrimSpace(table), "\n") {
		event := strings.TrimSpace(strings.Split(line, " | ")[0][2:])
		if test, other := elsewhere[event]; other {
			file, name, _ := strings.Cut(test, ": ")
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Contains(t, string(text), "func "+name+"(")
			continue
		}
		events = append(events, event)
	}
	var played []string
	for _, r := range rows {
		played = append(played, r.event)
	}
	require.Equal(t, events, played)
}
