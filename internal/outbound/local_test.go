package outbound_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/outbound"
)

// locals are hosts that are this machine or its link, in the spellings that some resolver understands.
var locals = []string{
	"localhost", "LocalHost", "localhost.", "localhost..", "a.localhost", "a.b.LOCALHOST.", "127.0.0.1", "127.0.0.1.", "127.255.255.254",
	"127.1", "127.0.1", "2130706433", "0x7f000001", "0X7F.1", "0x7f.0x0.0x0.0x1", "0177.0.0.1", "0177.1", "017700000001", "127.0.0.01",
	"127.000.000.001", "0127.0.0.1", "127.0x1", "127.0x", "0", "0x0", "0x", "0.0.0.0", "0.1.2.3", "00", "169.254.169.254", "169.254.0.1", "2852039166",
	"0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "224.0.0.1", "::1", "0:0:0:0:0:0:0:1", "::", "::1%lo", "fe80::1", "fe80::1%eth0",
	"FEBF::1", "ff02::1", "ff01::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::FFFF:169.254.169.254", "::ffff:0.0.0.0", "::127.0.0.1",
	"::7f00:1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "fd00:ec2::254", "::ffff:0:0",
}

// others are hosts that are neither.
var others = []string{
	"", ".", "idp.example.com", "localhost.example.com", "notlocalhost", "localhost1", "127.0.0.1.example.com", "10.0.0.1", "192.168.1.1",
	"172.16.0.1", "126.255.255.255", "128.0.0.1", "169.253.1.1", "169.255.1.1", "8.8.8.8", "134744072", "0x08080808", "2001:db8::1", "fc00::1",
	"fd00:ec2::253", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::", "fec0::1", "127.0.0.0.1", "127.0.0.0.0", "0.0.0.0.0.0.0", "127.0.0.256", "4294967296",
	"x127.0.0.1", "127..1", "-1", "+2130706433", "0x7f00000001", "1e3", "bücher.example",
}

func TestLocal(t *testing.T) {
	t.Parallel()
	for _, host := range locals {
		require.True(t, outbound.Local(host), "%q", host)
	}
	for _, host := range others {
		require.False(t, outbound.Local(host), "%q", host)
	}
}

// hostOf makes a URL, of an IPv6 address in brackets.
func hostOf(t *testing.T, host string) *url.URL {
	t.Helper()
	for _, c := range host {
		if c == ':' {
			host = "[" + url.PathEscape(host) + "]"
			break
		}
	}
	u, err := url.Parse("https://" + host + "/keys")
	require.NoError(t, err, host)
	return u
}

// A URL that metadata names has no host on this machine or its link, unless the configuration says so.
func TestDiscovered(t *testing.T) {
	t.Parallel()
	const far, near = "https://idp.example.com/tenant", "https://localhost:8443"
	for _, host := range locals {
		u := hostOf(t, host)
		require.False(t, outbound.Discovered(u, far, nil), host)
		require.False(t, outbound.Discovered(u, "urn:example:idp", nil), host)
		require.False(t, outbound.Discovered(u, "https://bücher.example", nil), host)
		require.False(t, outbound.Discovered(u, far, []string{"another"}), host)
		require.True(t, outbound.Discovered(u, far, []string{u.Hostname()}), host)
		require.True(t, outbound.Discovered(u, near, nil), host)
	}
	for _, host := range others {
		switch host {
		case "", ".", "127..1", "bücher.example":
			continue
		}
		require.True(t, outbound.Discovered(hostOf(t, host), far, nil), host)
	}
	for _, host := range []string{"１２７.0.0.1", "ⓛocalhost", "localhost。", "127。0。0。1", "bücher.example", "ｌocalhost"} {
		u := hostOf(t, host)
		require.False(t, outbound.Discovered(u, far, nil), host)
		require.True(t, outbound.Discovered(u, "https://"+host, nil), "it is the issuer's own: %s", host)
		require.True(t, outbound.Discovered(u, far, []string{host}), host)
	}
	for raw, want := range map[string]bool{
		"https://IDP.example.com:8443/keys":    true,
		"https://[::1%25lo]/keys":              false,
		"http://127.0.0.1/keys":                false,
		"https://idp.example.com@127.0.0.1/":   false,
		"https://127.0.0.1:443/keys":           false,
		"https://xn--bcher-kva.example/keys":   true,
		"https://169.254.169.254/latest/":      false,
		"https://169.254.169.254.:80/latest/":  false,
		"https://[::ffff:169.254.169.254]/":    false,
		"https://metadata.google.internal/":    true, // a name: its address is checked
		"https://instance-data.ec2.internal/":  true, // as above
		"https://sub.idp.example.com/keys":     true,
		"https://example.com.localhost/keys":   false,
		"https://localhost.localdomain/keys":   true, // as above
		"https://%6cocalhost/keys":             false,
		"https://127.1:8443/keys":              false,
		"https://idp.example.com.:443/keys":    true,
		"https://017700000001/keys":            false,
		"https://[0:0:0:0:0:ffff:7f00:1]/keys": false,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			require.False(t, want, raw)
			continue
		}
		require.Equal(t, want, outbound.Discovered(u, far, nil), raw)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.9.9.9": true, "::1": true,
		"localhost.evil.example": false, "128.0.0.1": false, "": false, "127.0.0.1.evil.example": false,
	} {
		require.Equal(t, want, outbound.Loopback(host), host)
	}
	require.False(t, outbound.Local(""), "an issuer that is no URL has no host")
}
