package main

import "slices"

// Names of benchmarks.
const (
	rs256    = "Slow/RS256/user/"
	es256    = "Slow/ES256/user/"
	eddsa    = "Slow/EdDSA/user/"
	ours     = "regionjwt"
	refuse   = "Refuse/"
	groups   = "Slow/RS256/groups/"
	fast100  = "Fast/100/"
	fast10k  = "Fast/10k/"
	fast1M   = "Fast/1M/"
	estate   = "Providers/"
	tenThous = "/10000"
)

// algorithms lists the part of names for each algorithm.
func algorithms() [][2]string {
	return [][2]string{{"RS256", rs256}, {"ES256", es256}, {"EdDSA", eddsa}}
}

// goals lists what is aimed at.
func goals() []goal {
	return slices.Concat(slowGoals(), otherGoals(), systemGoals())
}

func slowGoals() []goal {
	return []goal{
		{
			what: "slow path / raw RS256 check", goal: "<= 1.06; overhead <= 2 us",
			checks: []check{
				{value: metric(rs256+ours, "x-floor"), format: ratio, limit: 1.06, label: "ratio"},
				{value: metric(rs256+ours, "us-over"), format: micros, limit: 2, label: "overhead"},
			},
		},
		{
			what: "slow path / raw ES256, EdDSA check", goal: "<= 1.03, 1.04",
			checks: []check{
				{value: metric(es256+ours, "x-floor"), format: ratio, limit: 1.03, label: "ES256"},
				{value: metric(eddsa+ours, "x-floor"), format: ratio, limit: 1.04, label: "EdDSA"},
			},
		},
		{
			what: "slow path / raw RS256 check, 100 groups", goal: "<= 1.10",
			checks: []check{{value: metric(groups+ours, "x-floor"), format: ratio, limit: 1.10}},
		},
		{
			what: "RS256 slow path / golang-jwt + keyfunc", goal: "<= 0.85",
			checks: against("x-floor", 0.85, [][2]string{{"", rs256}}, "golang-jwt"),
		},
		{
			what: "RS256 slow path / go-oidc, auth0, zitadel", goal: "<= 0.60",
			checks: against("x-floor", 0.60, [][2]string{{"", rs256}}, "go-oidc", "auth0", "zitadel"),
		},
		{
			what: "RS256 slow path / jwx jwt.Parse, cap", goal: "<= 0.50",
			checks: against("x-floor", 0.50, [][2]string{{"", rs256}}, "jwx.v2", "jwx.v3", "cap"),
		},
		{
			what: "overhead / golang-jwt + keyfunc's", goal: "<= 0.30 for each algorithm",
			checks: against("us-over", 0.30, algorithms(), "golang-jwt"),
		},
		{
			what: "overhead / go-oidc's, auth0's", goal: "<= 0.12 for each algorithm",
			checks: against("us-over", 0.12, algorithms(), "go-oidc", "auth0"),
		},
		{
			what: "slow path allocations beyond the raw check", goal: "<= 4",
			checks: []check{
				{value: difference(rs256+ours, rs256+"floor", "allocs/op"), format: count, limit: 4, label: "RS256"},
				{value: difference(es256+ours, es256+"floor", "allocs/op"), format: count, limit: 4, label: "ES256"},
				{value: difference(eddsa+ours, eddsa+"floor", "allocs/op"), format: count, limit: 4, label: "EdDSA"},
			},
		},
	}
}

// against compares a metric with that of peers. Both were measured against the same floor in the same run.
func against(unit string, limit float64, prefixes [][2]string, peers ...string) []check {
	checks := make([]check, 0, len(prefixes)*len(peers))
	for _, p := range prefixes {
		for _, peer := range peers {
			label := title(peer)
			if p[0] != "" {
				label = p[0] + " " + label
			}
			checks = append(checks, check{label: label, value: quotient(p[1]+ours, p[1]+peer, unit), format: ratio, limit: limit})
		}
	}
	return checks
}

func otherGoals() []goal {
	return []goal{
		{
			what: "fast path / raw RS256 check",
			goal: "<= 1/60 over 100 and 10,000 tokens; 0 allocations; two cores >= 1.9 x; <= 160 B an entry beside the Token",
			checks: []check{
				{value: metric(fast100+"serial", "x-floor"), format: share, limit: 1.0 / 60, label: "100"},
				{value: metric(fast10k+"serial", "x-floor"), format: share, limit: 1.0 / 60, label: "10,000"},
				{value: metric(fast10k+"serial", "allocs/op"), format: count, limit: 0, label: "allocations"},
				{
					value: metric(fast10k+"two-cores", "x-one-core"), format: times, limit: 1.9, atLeast: true, twoCores: true,
					label: "two cores",
				},
				{value: metric(fast10k+"two-cores", "x-one-core-raw"), format: times, informs: true, label: "raw check on two"},
				{value: metric(fast10k+"entry", "B/entry"), format: byteCount, limit: 160, label: "an entry"},
			},
		},
		{
			what: "fast path over 1 M tokens / raw RS256 check", goal: "<= 1/15",
			checks: []check{{value: metric(fast1M+"serial", "x-floor"), format: share, limit: 1.0 / 15}},
		},
		{
			what: "fast path with a list of no rules / without a list", goal: "<= 1.05",
			checks: []check{{value: metric("Rules/0", "x-without"), format: ratio, limit: 1.05}},
		},
		{
			what: "refusal / raw RS256 check", goal: "<= 0.08",
			checks: refusals("x-floor", ratio, 0.08),
		},
		{
			what: "refusal: allocations", goal: "<= 6",
			checks: refusals("allocs/op", count, 6),
		},
		{
			what: "refusal of 1 KB of garbage", goal: "<= 200 ns",
			checks: []check{{value: metric(refuse+"garbage/"+ours, "ns/op"), format: nanos, limit: 200}},
		},
		{
			what: "bad signature / raw RS256 check", goal: "<= 1.10",
			checks: []check{{value: metric(refuse+"signature/"+ours, "x-floor"), format: ratio, limit: 1.10}},
		},
		{
			what: "httpauth, without the verification / r.WithContext(context.WithValue(...))", goal: "<= 60 ns, no allocation",
			checks: []check{
				{value: metric("Handler/regionjwt.context", "ns-over"), format: nanos, limit: 60, label: "over it"},
				{value: metric("Handler/regionjwt.context", "allocs-over"), format: count, limit: 0, label: "allocations"},
				{value: metric("Handler/regionjwt.alone", "ns-over"), format: nanos, informs: true, label: "over a bare handler"},
				{value: metric("Handler/regionjwt.cached", "ns-over"), format: nanos, informs: true, label: "with a cache"},
			},
		},
		{
			what: "gRPC interceptor, warm, in a bufconn call / a bare call", goal: "<= 1.05",
			checks: []check{
				{value: metric("GRPC/unary", "x-bare"), format: ratio, limit: 1.05, label: "unary"},
				{value: metric("GRPC/stream", "x-bare"), format: ratio, limit: 1.05, label: "stream"},
			},
		},
	}
}

func systemGoals() []goal {
	return []goal{
		{
			what: "10,000 providers with two regions each",
			goal: "<= 4 KB each when warm; New <= 200 ms; lookup within 10 % of one",
			checks: []check{
				{value: metric(estate+"memory"+tenThous, "B/provider-warm"), format: kilo, limit: 4e3, label: "each"},
				{value: metric(estate+"new"+tenThous, "ms"), format: millis, limit: 200, label: "New"},
				{value: metric(estate+"lookup"+tenThous, "x-one"), format: times, limit: 1.10, label: "lookup"},
			},
		},
		{
			what: "flood of 10,000 random kids", goal: "fetches <= the bucket; a valid token's p99 <= 2 x quiet",
			checks: []check{
				{value: quotientOfUnits("Flood", "fetches", "bucket"), format: times, limit: 1, label: "fetches / bucket"},
				{value: metric("Flood", "x-quiet"), format: times, limit: 2, twoCores: true, label: "p99 / quiet"},
				{value: metric("Flood", "x-busy"), format: times, informs: true, label: "p99 / busy otherwise"},
			},
		},
		{
			what: "1 GB gzip bomb as JWKS", goal: "memory + <= 5 MB",
			checks: []check{
				{value: metric("Bomb", "MB-over"), format: mega, limit: 5, label: "from the system"},
				{value: metric("Bomb", "MB-heap-over"), format: mega, limit: 5, label: "heap"},
			},
		},
	}
}

func quotientOfUnits(name, unit, by string) value {
	return func(r results) (float64, bool) {
		a, okA := r.median(name, unit)
		b, okB := r.median(name, by)
		if !okA || !okB || b == 0 {
			return 0, false
		}
		return a / b, true
	}
}

func refusals(unit string, format func(float64) string, limit float64) (checks []check) {
	for _, r := range [][2]string{
		{"expired", "expired"},
		{"foreign issuer", "issuer"},
		{"new unknown kid", "new-kid"},
		{"same unknown kid", "same-kid"},
		{"garbage", "garbage"},
	} {
		checks = append(checks, check{label: r[0], value: metric(refuse+r[1]+"/"+ours, unit), format: format, limit: limit})
	}
	return checks
}
