package main

import (
	"fmt"
	"slices"
	"strings"
)

// column is one column of a table: a unit of each row's benchmark.
type column struct {
	head, unit string
	by         float64 // the value is divided by it; 0 means 1
	format     string
	spread     bool // how far the runs lie apart is shown
}

// table is the benchmarks under a prefix, one for each row.
type table struct {
	head, prefix string
	first        string // what a row is
	columns      []column
}

var titles = map[string]string{
	"floor":            "raw check",
	"regionjwt":        "**regionjwt**",
	"regionjwt.cached": "**regionjwt**, token in the cache",
	"regionjwt.alone":  "**regionjwt**, the middleware alone",
	"golang-jwt":       "golang-jwt + keyfunc",
	"golang-jwt.map":   "golang-jwt + keyfunc, map claims",
	"jwx.v2":           "jwx v2",
	"jwx.v3":           "jwx v3",
	"serial":           "one core",
	"two-cores":        "two cores",
	"entry":            "memory",
}

// title is how a part of a benchmark's name is written.
func title(name string) string { return strings.ReplaceAll(or(titles[name], name), "*", "") }

func slowColumns() []column {
	return []column{
		{head: "us", unit: "ns/op", by: 1e3, format: "%.1f"},
		{head: "x floor", unit: "x-floor", format: "%.3f", spread: true},
		{head: "us over it", unit: "us-over", format: "%.1f"},
		{head: "x floor, mean", unit: "x-mean", format: "%.2f"},
		{head: "allocations", unit: "allocs/op", format: "%.0f"},
		{head: "KB", unit: "B/op", by: 1e3, format: "%.1f"},
	}
}

func plainColumns() []column {
	return []column{
		{head: "us", unit: "ns/op", by: 1e3, format: "%.1f", spread: true},
		{head: "allocations", unit: "allocs/op", format: "%.0f"},
		{head: "KB", unit: "B/op", by: 1e3, format: "%.1f"},
	}
}

func tables() []table {
	var all []table
	for _, t := range [][2]string{
		{"RS256, a user's token", "RS256/user"},
		{"ES256, a user's token", "ES256/user"},
		{"EdDSA, a user's token", "EdDSA/user"},
		{"RS256, a machine's token", "RS256/machine"},
		{"RS256, a user in 100 groups", "RS256/groups"},
	} {
		all = append(all, table{"Slow path: " + t[0], "Slow/" + t[1], "library", slowColumns()})
	}
	for _, t := range [][2]string{
		{"a bad signature", "signature"},
		{"expired", "expired"},
		{"a foreign issuer", "issuer"},
		{"unknown kids, always new", "new-kid"},
		{"an unknown kid, always the same", "same-kid"},
		{"1 KB of garbage", "garbage"},
		{"1 KB of garbage in three parts", "garbage-in-parts"},
	} {
		columns := []column{
			{head: "us", unit: "ns/op", by: 1e3, format: "%.2f"},
			{head: "x floor", unit: "x-floor", format: "%.3f", spread: true},
			{head: "allocations", unit: "allocs/op", format: "%.0f"},
		}
		if strings.HasSuffix(t[1], "-kid") {
			columns = append(columns, column{head: "fetches while measured", unit: "fetches", format: "%.0f"})
		}
		all = append(all, table{"Refusals: " + t[0], "Refuse/" + t[1], "library", columns})
	}
	return append(all, otherTables()...)
}

func otherTables() []table {
	fast := []column{
		{head: "ns", unit: "ns/op", format: "%.0f"},
		{head: "x floor", unit: "x-floor", format: "%.4f", spread: true},
		{head: "x one core", unit: "x-one-core", format: "%.2f", spread: true},
		{head: "raw check x one core", unit: "x-one-core-raw", format: "%.2f", spread: true},
		{head: "allocations", unit: "allocs/op", format: "%.0f"},
		{head: "share of hits", unit: "hits", format: "%.3f"},
		{head: "B an entry", unit: "B/entry", format: "%.0f"},
		{head: "B a Token", unit: "B/token", format: "%.0f"},
	}
	return []table{
		{"Algorithms, beside the raw check of RS256", "Algorithms", "algorithm", []column{
			{head: "us", unit: "ns/op", by: 1e3, format: "%.1f"},
			{head: "x raw RS256", unit: "x-floor", format: "%.3f", spread: true},
			{head: "allocations", unit: "allocs/op", format: "%.0f"},
			{head: "B a token", unit: "B/token", format: "%.0f"},
		}},
		{"Fast path: 100 tokens", "Fast/100", "what", fast},
		{"Fast path: 10,000 tokens", "Fast/10k", "what", fast},
		{"Fast path: 1,000,000 tokens", "Fast/1M", "what", fast},
		{"Fast path with revocation rules", "Rules", "rules", []column{
			{head: "ns", unit: "ns/op", format: "%.0f"},
			{head: "x without a list", unit: "x-without", format: "%.3f", spread: true},
			{head: "allocations", unit: "allocs/op", format: "%.0f"},
		}},
		{"Middleware around a handler, without a network", "Handler", "middleware", []column{
			{head: "ns over a bare handler", unit: "ns-over", format: "%.0f", spread: true},
			{head: "allocations over it", unit: "allocs-over", format: "%.0f"},
		}},
		{"A gRPC call in memory", "GRPC", "", []column{
			{head: "us", unit: "ns/op", by: 1e3, format: "%.1f"},
			{head: "x bare", unit: "x-bare", format: "%.3f", spread: true},
			{head: "ns over it", unit: "ns-over", format: "%.0f"},
		}},
		{"A request over loopback", "Loopback", "middleware", []column{
			{head: "us", unit: "ns/op", by: 1e3, format: "%.1f"},
			{head: "x bare", unit: "x-bare", format: "%.2f", spread: true},
			{head: "us over it", unit: "us-over", format: "%.1f"},
		}},
		{"Many providers: verifying", "Providers/lookup", "providers", []column{
			{head: "us", unit: "ns/op", by: 1e3, format: "%.1f"},
			{head: "x one provider", unit: "x-one", format: "%.3f", spread: true},
		}},
		{"Many providers: memory of each", "Providers/memory", "providers", []column{
			{head: "KB before a fetch", unit: "B/provider-cold", by: 1e3, format: "%.1f"},
			{head: "KB warm", unit: "B/provider-warm", by: 1e3, format: "%.1f"},
			{head: "KB when each issuer was used", unit: "B/provider-used", by: 1e3, format: "%.1f"},
		}},
		{"Many providers: New", "Providers/new", "providers", []column{{head: "ms", unit: "ms", format: "%.3f"}}},
		{"Reading a key set of two RSA keys", "Parse", "library", plainColumns()},
		{"Start: New, a fetch from memory, one token", "Start", "library", plainColumns()},
		{"Flood", "", "Flood", []column{
			{head: "fetches", unit: "fetches", format: "%.0f"},
			{head: "bucket", unit: "bucket", format: "%.0f"},
			{head: "p99 in us, quiet", unit: "us-p99-quiet", format: "%.0f"},
			{head: "p99 in us, core busy", unit: "us-p99-busy", format: "%.0f"},
			{head: "p99 in us, flood", unit: "us-p99-flood", format: "%.0f"},
			{head: "x quiet", unit: "x-quiet", format: "%.2f", spread: true},
			{head: "x busy", unit: "x-busy", format: "%.2f", spread: true},
		}},
	}
}

// markdown writes the table. Columns that no row has are left out.
func (t table) markdown(r results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", t.head)
	head, order, names := t.rows(r)
	columns := slices.DeleteFunc(slices.Clone(t.columns), func(c column) bool {
		return !slices.ContainsFunc(order, func(name string) bool { return len(r.values[name][c.unit]) > 0 })
	})
	if len(columns) == 0 {
		return b.String() + "Not measured.\n"
	}
	b.WriteString("| " + head)
	for _, c := range columns {
		b.WriteString(" | " + c.head)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for _, name := range order {
		b.WriteString("| " + names[name])
		for _, c := range columns {
			b.WriteString(" | " + c.cell(r, name))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// rows returns the benchmarks of the table, and how they are called.
func (t table) rows(r results) (head string, order []string, names map[string]string) {
	if t.prefix == "" {
		return "tokens", []string{t.first}, map[string]string{t.first: "10,000 random kids"}
	}
	last := r.under(t.prefix)
	order, names = make([]string, len(last)), map[string]string{}
	for i, l := range last {
		order[i] = t.prefix + "/" + l
		names[order[i]] = or(titles[l], l)
	}
	return t.first, order, names
}

func (c column) cell(r results, name string) string {
	v, ok := r.median(name, c.unit)
	if !ok {
		return "–"
	}
	if c.by != 0 {
		v /= c.by
	}
	text := fmt.Sprintf(c.format, v)
	if c.spread && len(r.values[name][c.unit]) > 1 {
		text += fmt.Sprintf(" ± %.0f %%", 100*r.spread(name, c.unit))
	}
	return text
}
