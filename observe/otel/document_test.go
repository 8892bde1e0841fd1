package otel_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"gopkg.in/yaml.v3"

	"github.com/regionjwt/regionjwt/internal/fakeissuer"
	"github.com/regionjwt/regionjwt/observe/otel"
	"github.com/regionjwt/regionjwt/verifier"
)

// emitted is what a story has had emitted.
type emitted struct {
	metrics    map[string]metricdata.Metrics
	prometheus map[string]map[string]bool // names of labels by the name of the metric
	values     map[string]map[string]bool // by the name of the label in Prometheus
}

// tell tells the story and returns what was emitted.
func tell(t *testing.T) *emitted {
	t.Helper()
	e := &emitted{prometheus: map[string]map[string]bool{}, values: map[string]map[string]bool{}}
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, fakeissuer.Config{Layout: fakeissuer.IssuerPerRegion},
			otel.Config{MaxProviders: 2, IssuerNames: map[string]string{"https://us-east-1.idp.example/tenant": "old"}}, needsTenant)
		require.Equal(t, verifier.ReasonRulesUnavailable,
			s.judge(s.Issue(s.east, fakeissuer.Claims{Set: map[string]any{"tenant": "a"}})))
		defer s.run(t)()
		s.story(t)
		e.metrics = s.collect(t)
		for _, f := range s.families(t) {
			for _, m := range f.GetMetric() {
				e.note(f.GetName(), f.GetType(), m)
			}
		}
	})
	for _, reason := range reasons {
		e.values["error_type"][string(reason)] = true
	}
	return e
}

func (e *emitted) note(name string, kind dto.MetricType, m *dto.Metric) {
	names := []string{name}
	labels := map[string]bool{"job": true, "instance": true}
	if kind == dto.MetricType_HISTOGRAM {
		names, labels["le"] = []string{name + "_bucket", name + "_sum", name + "_count"}, true
	}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = true
		if e.values[l.GetName()] == nil {
			e.values[l.GetName()] = map[string]bool{}
		}
		e.values[l.GetName()][l.GetValue()] = true
	}
	for _, n := range names {
		if e.prometheus[n] == nil {
			e.prometheus[n] = map[string]bool{}
		}
		for l := range labels {
			e.prometheus[n][l] = true
		}
	}
}

var (
	quoted   = regexp.MustCompile("`([^`]+)`")
	row      = regexp.MustCompile("(?m)^\\| `(regionjwt|error)[^|]*\\|.*$")
	grouping = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\(([^)]*)\)`)
	selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(,|$)`)
	word     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	window   = regexp.MustCompile(`\[[^\]]*\]`)
)

// The tables of the documentation list exactly what is emitted: names, kinds, units, attributes, and their values.
func TestTheDocumentationListsWhatIsEmitted(t *testing.T) {
	t.Parallel()
	e := tell(t)
	text, err := os.ReadFile("../../docs/observability.md")
	require.NoError(t, err)
	listed, values := map[string]bool{}, map[string]string{}
	for _, line := range row.FindAllString(string(text), -1) {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		name := strings.Trim(cells[0], "`")
		if len(cells) == 2 {
			values[strings.ReplaceAll(name, ".", "_")] = cells[1]
			continue
		}
		listed[name] = true
		require.Len(t, cells, 5, name)
		m, ok := e.metrics[name]
		require.True(t, ok, "%s is not emitted", name)
		require.Equal(t, strings.Trim(cells[2], "`"), m.Unit, name)
		require.Equal(t, cells[1], kindOf(m), name)
		require.NotEmpty(t, m.Description, name)
		var wanted, got []string
		for _, q := range quoted.FindAllStringSubmatch(cells[3], -1) {
			wanted = append(wanted, q[1])
		}
		for _, p := range points(t, m) {
			for _, a := range p.set.ToSlice() {
				if !slices.Contains(got, string(a.Key)) {
					got = append(got, string(a.Key))
				}
			}
		}
		require.ElementsMatch(t, wanted, got, name)
	}
	for name := range e.metrics {
		require.True(t, listed[name], "%s is not documented", name)
	}
	for label, met := range e.values {
		if strings.HasPrefix(label, "otel_") || strings.HasPrefix(label, "telemetry_") || label == "service_name" {
			continue
		}
		require.Contains(t, values, label)
		for v := range met {
			if label == "error_type" || slices.Contains([]string{"regionjwt_region", "regionjwt_provider", "regionjwt_issuer", "regionjwt_transmitter"}, label) {
				continue // reasons, failures and configured names
			}
			require.Contains(t, values[label], "`"+v+"`", label)
		}
	}
	require.Len(t, listed, 30)
	require.Len(t, values, 15)
}

func kindOf(m metricdata.Metrics) string {
	switch m.Data.(type) {
	case metricdata.Sum[int64]:
		return "counter"
	case metricdata.Histogram[float64]:
		return "histogram"
	default:
		return "gauge"
	}
}

// check compares what an expression of PromQL uses with what is emitted.
func (e *emitted) check(t *testing.T, expr string) {
	t.Helper()
	require.NotEmpty(t, expr)
	require.Equal(t, strings.Count(expr, "("), strings.Count(expr, ")"), expr)
	uses := map[string]bool{}
	labels := map[string]bool{}
	use := func(metric string) {
		uses[metric] = true
		for l := range e.prometheus[metric] {
			labels[l] = true
		}
	}
	rest := selector.ReplaceAllStringFunc(expr, func(s string) string {
		part := selector.FindStringSubmatch(s)
		require.Contains(t, e.prometheus, part[1], expr)
		use(part[1])
		require.Empty(t, strings.TrimSpace(matcher.ReplaceAllString(part[2], "")), expr)
		for _, m := range matcher.FindAllStringSubmatch(part[2], -1) {
			require.Contains(t, e.prometheus[part[1]], m[1], expr)
			if m[3] == "$job" {
				continue
			}
			for v := range strings.SplitSeq(m[3], "|") {
				require.Contains(t, e.values[m[1]], v, "%s: %s", expr, m[1])
			}
		}
		return ""
	})
	groups := grouping.FindAllStringSubmatch(rest, -1)
	rest = window.ReplaceAllString(grouping.ReplaceAllString(rest, ""), "")
	functions := []string{
		"sum", "rate", "max", "min", "avg", "count", "increase", "histogram_quantile", "and", "unless", "bool", "label_values", "job",
	}
	for _, w := range word.FindAllString(rest, -1) {
		if slices.Contains(functions, w) {
			continue
		}
		require.Contains(t, e.prometheus, w, expr)
		use(w)
	}
	require.NotEmpty(t, uses, expr)
	for _, g := range groups {
		for l := range strings.SplitSeq(g[2], ",") {
			require.True(t, labels[strings.TrimSpace(l)], "%s: %s", expr, l)
		}
	}
}

// headings lists the links to the headings of the page that a link leads to.
func headings(t *testing.T, link string) (all []string) {
	t.Helper()
	page, _, _ := strings.Cut(link, "#")
	text, err := os.ReadFile("../../" + page)
	require.NoError(t, err)
	for _, h := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		slug := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
		all = append(all, page+"#"+strings.ReplaceAll(slug, " ", "-"))
	}
	return all
}

func TestAlertsUseWhatIsEmitted(t *testing.T) {
	t.Parallel()
	e := tell(t)
	text, err := os.ReadFile("prometheus/alerts.yaml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&file))
	require.Len(t, file.Groups, 1)
	seen := map[string]bool{}
	for _, r := range file.Groups[0].Rules {
		require.False(t, seen[r.Alert])
		seen[r.Alert] = true
		e.check(t, r.Expr)
		require.Regexp(t, "^Regionjwt[A-Z]", r.Alert)
		require.Contains(t, []string{"critical", "warning", "info"}, r.Labels["severity"])
		require.Regexp(t, `^[A-Z].*\.$`, r.Annotations["summary"])
		require.Contains(t, headings(t, r.Annotations["runbook"]), r.Annotations["runbook"])
	}
	require.Len(t, seen, 23)
}

func TestTheDashboardUsesWhatIsEmitted(t *testing.T) {
	t.Parallel()
	e := tell(t)
	text, err := os.ReadFile("grafana/dashboard.json")
	require.NoError(t, err)
	type target struct{ Expr, LegendFormat string }
	var file struct {
		Panels []struct {
			ID          int
			Type, Title string
			Targets     []target
		}
		Annotations struct {
			List []struct{ Expr, TextFormat string }
		}
		Templating struct {
			List []struct{ Query any }
		}
	}
	require.NoError(t, json.Unmarshal(text, &file))
	var all []target
	ids := map[int]bool{}
	for _, p := range file.Panels {
		require.False(t, ids[p.ID])
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		all = append(all, p.Targets...)
	}
	for _, a := range file.Annotations.List {
		all = append(all, target{a.Expr, a.TextFormat})
	}
	query, ok := file.Templating.List[1].Query.(map[string]any)
	require.True(t, ok)
	all = append(all, target{query["query"].(string), ""})
	for _, q := range all {
		e.check(t, q.Expr)
		for _, l := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(q.LegendFormat, -1) {
			require.Contains(t, q.Expr, l[1], "the legend names what the query groups by")
		}
	}
	require.Greater(t, len(all), 30)
}
