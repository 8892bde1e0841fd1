package outbound

import (
	"net/netip"
	"strconv"
	"strings"
)

// metadataService is the IPv6 address of the EC2 instance metadata service. It is no link-local address, but answers like
// 169.254.169.254.
var metadataService = netip.MustParseAddr("fd00:ec2::254")

// Local reports whether host, of a URL and without a port, is this machine or its link: a loopback, link-local or unspecified
// address, however it is spelled, localhost, or a name below localhost. It looks nothing up. It is false for a host that is not
// ASCII, of which clients may make any other host: see Discovered.
func Local(host string) bool {
	host = strings.TrimRight(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return isLocal(addr)
	}
	for _, octal := range []bool{true, false} {
		if addr, ok := parseOldIPv4(host, octal); ok && isLocal(addr) {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isLocal reports whether a is an address of this machine or its link. An IPv6 address that stands for an IPv4 address is judged
// by that: IPv4-mapped and IPv4-compatible ones (RFC 4291, section 2.5.5), NAT64 (RFC 6052) and 6to4 (RFC 3056).
func isLocal(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() ||
		a.IsInterfaceLocalMulticast() || a == metadataService {
		return true
	}
	if a.Is4() {
		return a.As4()[0] == 0 // this host on this network: RFC 1122, section 3.2.1.3
	}
	b := a.As16()
	switch {
	case [12]byte(b[:12]) == [12]byte{}, [12]byte(b[:12]) == [12]byte{0, 0x64, 0xFF, 0x9B}:
		return isLocal(netip.AddrFrom4([4]byte(b[12:])))
	case b[0] == 0x20 && b[1] == 0x02:
		return isLocal(netip.AddrFrom4([4]byte(b[2:6])))
	}
	return false
}

// parseOldIPv4 reads an IPv4 address as inet_aton does, which resolvers of the operating system use: one to four numbers, the
// last of which fills the rest, in decimal, hexadecimal (0x) and, where octal is set, octal (0).
func parseOldIPv4(host string, octal bool) (addr netip.Addr, ok bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return addr, false
	}
	var all uint64
	for i, part := range parts {
		base := 10
		if digits, hex := strings.CutPrefix(part, "0x"); hex {
			part, base = digits, 16
			if part == "" { // some read it as 0
				part = "0"
			}
		} else if octal && len(part) > 1 && part[0] == '0' {
			base = 8
		}
		n, err := strconv.ParseUint(part, base, 64)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits {
			return addr, false
		}
		all = all<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(all >> 24), byte(all >> 16), byte(all >> 8), byte(all)}), true
}
