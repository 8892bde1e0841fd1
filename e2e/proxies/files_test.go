package proxies_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	extauthzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3" // a type of envoy.yaml
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3" // a type of envoy.yaml
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// flagsOf returns the flags of regionjwt serve in a command line, which must exist.
func flagsOf(t *testing.T, words []string) map[string]string {
	t.Helper()
	help, err := exec.Command(must(program()), "help", "serve").CombinedOutput()
	require.NoError(t, err, "%s", help)
	all := map[string]string{}
	for i, word := range words {
		if !strings.HasPrefix(word, "--") {
			continue
		}
		name, value, joined := strings.Cut(word, "=")
		if !joined {
			value = words[i+1]
		}
		require.Contains(t, string(help), "\n  "+name+" ", name)
		all[name] = value
	}
	return all
}

// The unit starts what the documentation says, as a user who can do nothing else.
func TestTheSystemdUnit(t *testing.T) {
	t.Parallel()
	sections, section := map[string]map[string]string{}, ""
	for line := range strings.SplitSeq(document(t, "regionjwt-serve.service"), "\n") {
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
			sections[section] = map[string]string{}
		default:
			name, value, ok := strings.Cut(line, "=")
			require.True(t, ok, line)
			require.NotContains(t, sections[section], name)
			sections[section][name] = value
		}
	}
	service := sections["Service"]
	flags := flagsOf(t, strings.Fields(service["ExecStart"]))
	require.Equal(t, "nginx=unix:/run/"+service["RuntimeDirectory"]+"/nginx.sock", flags["--listen"])
	require.Contains(t, document(t, "nginx.conf"), strings.TrimPrefix(flags["--listen"], "nginx="))
	require.Contains(t, document(t, "regionjwt.json"), "dir:/var/lib/"+service["StateDirectory"])
	require.Equal(t, "yes", service["DynamicUser"])
	require.Equal(t, "yes", service["NoNewPrivileges"])
	require.Equal(t, "strict", service["ProtectSystem"])
	require.Equal(t, "/bin/kill -HUP $MAINPID", service["ExecReload"])
	require.NotEmpty(t, sections["Install"]["WantedBy"])
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		unit := t.TempDir() + "/regionjwt-serve.service"
		text := strings.Replace(document(t, "regionjwt-serve.service"), "/usr/local/bin/regionjwt", must(program()), 1)
		require.NoError(t, writeFile(unit, text))
		out, err := exec.Command(path, "verify", "--man=no", unit).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.NotContains(t, string(out), "regionjwt-serve.service", "%s", out)
	}
}

// object finds a value in a manifest.
func object(t *testing.T, in any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			require.Contains(t, in, step)
			in = in.(map[string]any)[step]
		case int:
			in = in.([]any)[step]
		}
	}
	return in
}

// The manifests fit together, and the files in them are read by the program.
func TestTheKubernetesManifests(t *testing.T) {
	t.Parallel()
	kinds := map[string]any{}
	for decoder := yaml.NewDecoder(strings.NewReader(document(t, "kubernetes.yaml"))); ; {
		var doc map[string]any
		err := decoder.Decode(&doc)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		kinds[doc["kind"].(string)] = doc
		require.Equal(t, "regionjwt", object(t, doc, "metadata", "name"))
	}
	require.Len(t, kinds, 5)
	pod := object(t, kinds["Deployment"], "spec", "template")
	container := object(t, pod, "spec", "containers", 0)
	var args []string
	for _, a := range object(t, container, "args").([]any) {
		args = append(args, a.(string))
	}
	flags := flagsOf(t, args)
	labels := object(t, pod, "metadata", "labels")
	for _, selector := range []any{
		object(t, kinds["Deployment"], "spec", "selector", "matchLabels"), object(t, kinds["Service"], "spec", "selector"),
		object(t, kinds["NetworkPolicy"], "spec", "podSelector", "matchLabels"), object(t, kinds["PodDisruptionBudget"], "spec", "selector", "matchLabels"),
	} {
		require.Equal(t, labels, selector)
	}
	require.Equal(t, "envoy=:"+text(object(t, container, "ports", 0, "containerPort")), flags["--listen"])
	require.Equal(t, ":"+text(object(t, container, "ports", 1, "containerPort")), flags["--status"])
	require.Equal(t, "/health", object(t, container, "readinessProbe", "httpGet", "path"))
	require.Equal(t, "/live", object(t, container, "livenessProbe", "httpGet", "path"))

	dir := t.TempDir()
	data := object(t, kinds["ConfigMap"], "data").(map[string]any)
	mount := object(t, container, "volumeMounts", 0, "mountPath").(string)
	for flag, name := range map[string]string{"--config": "regionjwt.yaml", "--routes": "routes.yaml"} {
		require.Equal(t, mount+"/"+name, flags[flag])
		require.NoError(t, writeFile(dir+"/"+name, strings.Replace(data[name].(string), "/var/lib/regionjwt/keys", dir+"/keys", 1)))
	}
	requireStarts(t, dir+"/regionjwt.yaml", dir+"/routes.yaml")
}

func text(v any) string {
	doc, _ := json.Marshal(v)
	return string(doc)
}

// requireStarts starts the program with files.
func requireStarts(t *testing.T, config, routes string) {
	t.Helper()
	p := start(t, must(program()), "serve", "--config", config, "--routes", routes, "--listen", "envoy=127.0.0.1:0")
	p.line(t, `"msg":"listening"`)
}

// The files of the documentation are those that the document shows, and the program reads them.
func TestTheFilesOfTheDocument(t *testing.T) {
	t.Parallel()
	page := document(t, "../serve.md")
	require.Contains(t, page, "```json\n"+document(t, "routes.json")+"```")
	for _, link := range regexp.MustCompile(`\]\(serve/([^)]+)\)`).FindAllStringSubmatch(page, -1) {
		require.NotEmpty(t, document(t, link[1]))
	}
	dir := t.TempDir()
	require.NoError(t, writeFile(dir+"/regionjwt.json", document(t, "regionjwt.json", "/var/lib/regionjwt/keys", dir+"/keys")))
	require.NoError(t, writeFile(dir+"/routes.json", document(t, "routes.json")))
	requireStarts(t, dir+"/regionjwt.json", dir+"/routes.json")
	for _, name := range []string{"nginx.conf", "Caddyfile"} {
		for _, h := range []string{"X-Auth-Provider", "X-Auth-Subject", "X-Auth-Scopes"} {
			require.Contains(t, document(t, name), h, name)
		}
	}
}

// Envoy's own types read its configuration.
func TestTheEnvoyConfiguration(t *testing.T) {
	t.Parallel()
	var doc any
	require.NoError(t, yaml.Unmarshal([]byte(document(t, "envoy.yaml")), &doc))
	asJSON, err := json.Marshal(doc)
	require.NoError(t, err)
	var bootstrap bootstrapv3.Bootstrap
	require.NoError(t, protojson.Unmarshal(asJSON, &bootstrap))
	require.NoError(t, bootstrap.ValidateAll())
	var hcm hcmv3.HttpConnectionManager
	require.NoError(t, bootstrap.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0].GetTypedConfig().UnmarshalTo(&hcm))
	require.NoError(t, hcm.ValidateAll())
	var filter extauthzv3.ExtAuthz
	require.NoError(t, hcm.GetHttpFilters()[0].GetTypedConfig().UnmarshalTo(&filter))
	require.NoError(t, filter.ValidateAll())
	require.False(t, filter.GetFailureModeAllow())
	require.EqualValues(t, 503, filter.GetStatusOnError().GetCode())
	require.GreaterOrEqual(t, filter.GetGrpcService().GetTimeout().AsDuration().Seconds(), 4.0, "a new key is waited for up to 3 s")
	clusters := bootstrap.GetStaticResources().GetClusters()
	require.True(t, slices.ContainsFunc(clusters, func(c *clusterv3.Cluster) bool {
		return c.GetName() == filter.GetGrpcService().GetEnvoyGrpc().GetClusterName()
	}))
}
