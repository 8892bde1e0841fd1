package issuer

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where a pod finds the API server, and the files of its service account.
const (
	inCluster   = "https://kubernetes.default.svc"
	accountPath = "/var/run/secrets/kubernetes.io/serviceaccount/"
	clusterKeys = "/openid/v1/jwks"
)

// Kubernetes returns the Provider for the service account tokens of a cluster whose API server has a private CA and answers
// authenticated requests only. iss is what the tokens carry: --service-account-issuer of the API server, often
// "https://kubernetes.default.svc.cluster.local". server is the URL of the API server; "" means "https://kubernetes.default.svc".
// caFile holds the CA certificates in PEM, tokenFile the bearer token; "" means the files of the pod's own service account. Both
// are read for each request, so they may be replaced at any time; the token is sent to server only.
//
// The ID of the Provider is iss: where several clusters have the same, change it, as the users of two clusters are not the same.
// Give Update the same Provider again, not a new one for the same cluster: what has another HTTPClient is fetched again.
// Clusters with a public issuer, such as those of Amazon EKS, need none of this: use OIDC. Kubernetes does no I/O and does not
// fail: the constructor that receives the Provider reports every problem.
func Kubernetes(iss, server, caFile, tokenFile string) Provider {
	c := cluster{
		server: strings.TrimSuffix(cmp.Or(server, inCluster), "/"), ca: cmp.Or(caFile, accountPath+"ca.crt"),
		token: cmp.Or(tokenFile, accountPath+"token"),
	}
	return Provider{
		ID:         iss,
		Regions:    []Region{{Name: "default", Issuers: []string{iss}, JWKSURLs: []string{c.server + clusterKeys}}},
		HTTPClient: &http.Client{Transport: &c},
		problem:    c.check(),
	}
}

// cluster sends requests to the API server of a cluster.
type cluster struct{ server, ca, token string }

func (c *cluster) check() error {
	var errs []error
	if u, err := parseURL(c.server); err != nil {
		errs = append(errs, fmt.Errorf("Kubernetes: server %q: %w", c.server, err))
	} else if u.Scheme != "https" || u.RawQuery != "" {
		errs = append(errs, fmt.Errorf(
			"Kubernetes: server %q: an https URL without query is required: the token is a secret", c.server))
	}
	for _, file := range []string{c.ca, c.token} {
		if !filepath.IsAbs(file) {
			errs = append(errs, fmt.Errorf("Kubernetes: file %q: an absolute path is required", file))
		}
	}
	return errors.Join(errs...)
}

// RoundTrip implements http.RoundTripper. Each request has a connection of its own: there are few, and one that has died cannot
// be in the way.
func (c *cluster) RoundTrip(r *http.Request) (*http.Response, error) {
	server, err := url.Parse(c.server)
	if err != nil || r.URL.Scheme != "https" || r.URL.Host != server.Host {
		return nil, errors.New("issuer: the URL is not one of the API server")
	}
	pem, err := os.ReadFile(c.ca)
	if err != nil {
		return nil, fmt.Errorf("issuer: the CA certificates cannot be read: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("issuer: %s holds no CA certificate in PEM", c.ca)
	}
	token, err := os.ReadFile(c.token)
	if err != nil {
		return nil, fmt.Errorf("issuer: the bearer token cannot be read: %w", err)
	}
	authenticated := r.Clone(r.Context())
	authenticated.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true, TLSHandshakeTimeout: 10 * time.Second,
	}
	return transport.RoundTrip(authenticated)
}
