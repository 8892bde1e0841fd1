package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
)

// loopbackNames has every name resolve to 127.0.0.1 until the end of the test, as names under nip.io do.
func loopbackNames(t *testing.T) {
	t.Helper()
	old := net.DefaultResolver
	t.Cleanup(func() { net.DefaultResolver = old })
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			query := make([]byte, 2+512) // with its length in front, as over TCP: RFC 1035, section 4.2.2
			for {
				n, err := theirs.Read(query)
				if err != nil || n < 2+12 {
					return
				}
				if _, err := theirs.Write(loopbackAnswer(query[2:n])); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

// loopbackAnswer answers a DNS query, with its length in front.
func loopbackAnswer(query []byte) []byte {
	at := 12
	for query[at] != 0 {
		at += 1 + int(query[at])
	}
	answer := append(bytes.Clone(query[:2]), 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0)
	answer = append(answer, query[12:at+5]...)
	if query[at+2] == 1 { // an A record is asked for
		answer[7] = 1
		answer = append(answer, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1)
	}
	return append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...)
}

// A discovery document cannot have check send a request to this machine by a name that resolves to it: services refuse to fetch
// keys from there. The hosts that --resolve and --insecure-http-host name are the operator's choice.
func TestDrillFollowsNoDiscoveredNameToThisMachine(t *testing.T) { // it replaces the resolver of the process
	w := fakeissuer.New(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion, Discovery: true, Algorithm: "ES256"})
	d := newDrilled(t, w, nil)
	inside, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = inside.Close() }()
	var sent atomic.Int64
	go func() {
		for {
			conn, err := inside.Accept()
			if err != nil {
				return
			}
			n, _ := conn.Read(make([]byte, 1))
			sent.Add(int64(n))
			_ = conn.Close()
		}
	}()
	_, port, err := net.SplitHostPort(inside.Addr().String())
	require.NoError(t, err)
	one := w.Provider().Regions[0]
	iss := one.Issuers[0]
	host := strings.TrimPrefix(strings.TrimSuffix(iss, "/"), "https://")
	document, err := json.Marshal(map[string]string{"issuer": iss, "jwks_uri": "https://keys.127.0.0.1.nip.example:" + port + "/keys"})
	require.NoError(t, err)
	d.serves(host+"/.well-known/openid-configuration", string(document))
	loopbackNames(t)
	flags := append([]string{"check", "--json", "--issuer", one.Name + "=" + iss}, d.flags...)
	a := decode[drillAnswer](t, tool{}.run(t, flags...).out)
	require.Zero(t, sent.Load(), "something was sent to this machine")
	require.Equal(t, "failed", a.Regions[0].KeySets[0].State)
	require.Equal(t, "discovery", a.Regions[0].KeySets[0].Error)

	flags = append(flags, "--resolve", "keys.127.0.0.1.nip.example:"+port+"="+inside.Addr().String())
	a = decode[drillAnswer](t, tool{}.run(t, flags...).out)
	require.Positive(t, sent.Load(), "the operator has named the host")
	require.Equal(t, "network", a.Regions[0].KeySets[0].Error)
}
