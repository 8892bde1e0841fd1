// Package workload is for workloads on AWS that call services outside of AWS, and for these services. A workload gets tokens from
// AWS STS (GetWebIdentityToken) with the credentials of its IAM role, in the Region that answers. A service says with a [Trust]
// whose tokens it accepts.
//
// # Tokens of a workload
//
// [New] returns a clientcredentials.TokenSource: it keeps one token for all callers, renews it ahead of time with jitter, and
// asks the next Region as well if the first one does not answer for 150 ms, or at once if it fails. Its Transport adds the tokens
// to HTTP requests, and grpcauth.PerRPCCredentials to gRPC calls. All Regions issue tokens of one issuer and with the same
// rights, so a service needs no list of them.
//
// The feature has to be enabled for the account ("aws iam enable-outbound-web-identity-federation"), and the role needs this
// policy, with sts:TagGetWebIdentityToken as well if Config.Tags are used:
//
//	{"Effect": "Allow", "Action": "sts:GetWebIdentityToken", "Resource": "*", "Condition": {
//	   "ForAllValues:StringEquals": {"sts:IdentityTokenAudience": ["https://api.example.com"]},
//	   "Null": {"sts:IdentityTokenAudience": "false"},
//	   "NumericLessThanEquals": {"sts:DurationSeconds": 300}}}
//
// # Failures
//
// What clientcredentials says about rejections and outages holds here, with the answers of AWS STS in place of those of OAuth.
// The label of a failure, in errors, logs and Config.OnRequest, is one of:
//
//   - "rejected" and a code of AWS, such as "rejected AccessDenied" or "rejected
//     OutboundWebIdentityFederationDisabledException". That is final, and wraps clientcredentials.ErrRejected. "rejected
//     ExpiredToken" means that the role session has ended and the client still has its credentials.
//   - throttled: the next Region is asked. Each Region has limits of its own.
//   - session_ending: a token of one minute would outlive the role session. As soon as the client has new credentials, there is a
//     token again.
//   - no_credentials: the client has none to sign a request with.
//   - "status" and the code of HTTP for every other answer, such as "status 503"; malformed for one that has no token.
//   - dns, tls, network and timeout, if there is no answer.
//
// errors.As finds the error of the SDK in that of the TokenSource.
package workload

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/issuer"
)

// Limits of AWS STS.
const (
	shortest        = time.Minute
	longest         = time.Hour
	defaultDuration = 5 * time.Minute
	maxTags         = 50
)

// Client is a client of AWS STS in one Region: an *sts.Client of the AWS SDK v2. It must be safe for concurrent use.
type Client interface {
	GetWebIdentityToken(
		ctx context.Context, in *sts.GetWebIdentityTokenInput, options ...func(*sts.Options),
	) (*sts.GetWebIdentityTokenOutput, error)

	// Options has the Region, and the credentials, which say when the role session ends.
	Options() sts.Options
}

// Config configures a source of tokens. Audiences are required; the zero value of every other field is the default.
type Config struct {
	// Audiences are the services that the tokens are for: their aud. A token for several can be used at each by the others, so
	// use one source for each service.
	Audiences []string

	// Algorithm signs the tokens: ES384, which is the default, or RS256.
	Algorithm string

	// Duration is how long a token is valid: between 1 minute and 1 hour, in whole seconds. 0 means 5 minutes. A token is renewed
	// when three quarters of that have passed, so a longer one outlasts a longer outage of all Regions. If the role session ends
	// earlier, a shorter token is requested. A token cannot be revoked at AWS.
	Duration time.Duration

	// Tags become the claim request_tags: at most 50. The workload chooses them, so services must not use them to tell who calls.
	Tags map[string]string

	// Hedge is how long a Region may take to answer, while a caller waits, until the next one is asked as well. 0 means 150 ms;
	// negative means that the next one is asked only after the first has failed.
	Hedge time.Duration

	// Logger gets one line for each change of state, and for panics of callbacks. Nil is silent.
	Logger *slog.Logger

	// OnRequest is called after each request to a Region, with the duration and the failure, or "" for a token. See
	// clientcredentials.Config.
	OnRequest func(region, failure string, duration time.Duration)
}

// New returns a source of tokens from the Regions of the clients, which are asked in this order. One is required, and each has to
// be of another Region. The package config of the SDK makes them:
//
//	sts.NewFromConfig(cfg), sts.NewFromConfig(cfg, func(o *sts.Options) { o.Region = "us-west-2" })
//
// With several clients, a request is sent once to a Region, and the retries of the SDK are not used. A request ends after 5
// seconds. Token.Region is the Region that issued a token. Exchange is always rejected.
//
// The error is every problem with the clients and c, joined. New does no I/O and starts no goroutine.
func New(clients []Client, c Config) (*clientcredentials.TokenSource, error) {
	errs := c.check()
	t := &transport{config: c, clients: map[string]Client{}, single: len(clients) == 1}
	t.config.Audiences, t.config.Tags = slices.Clone(c.Audiences), maps.Clone(c.Tags)
	t.config.Algorithm, t.config.Duration = cmp.Or(c.Algorithm, "ES384"), cmp.Or(c.Duration, defaultDuration)
	p := issuer.Provider{ID: "sts", HTTPClient: &http.Client{Transport: t}}
	if len(clients) == 0 {
		errs = append(errs, errors.New("workload: there is no client"))
	}
	for i, client := range clients {
		region, err := regionOf(client)
		if err == nil && t.clients[host(region)] != nil {
			err = fmt.Errorf("another one is of the Region %s as well", region)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("workload: client number %d: %w", i, err))
			continue
		}
		t.clients[host(region)] = client
		p.Regions = append(p.Regions, issuer.Region{
			Name: region, Issuers: []string{host(region)}, TokenURL: "https://" + host(region) + "/",
			JWKSURLs: []string{"https://" + host(region) + "/"},
		})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return clientcredentials.New(p, clientcredentials.Config{
		Credentials: clientcredentials.Credentials{ClientID: "sts"}, Hedge: c.Hedge, Logger: c.Logger, OnRequest: c.OnRequest,
	})
}

// check returns every problem with c.
func (c *Config) check() (errs []error) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("workload: "+format, args...))
		}
	}
	add(len(c.Audiences) == 0, "Audiences: one is required")
	add(slices.Contains(c.Audiences, ""), "Audiences: one is empty")
	add(!slices.Contains([]string{"", "ES384", "RS256"}, c.Algorithm), "Algorithm %q is neither ES384 nor RS256", c.Algorithm)
	outside := c.Duration != 0 && (c.Duration < shortest || c.Duration > longest)
	add(outside, "Duration %v is not between 1 minute and 1 hour", c.Duration)
	add(c.Duration%time.Second != 0, "Duration %v is not in whole seconds", c.Duration)
	add(len(c.Tags) > maxTags, "Tags: there are more than %d", maxTags)
	_, unnamed := c.Tags[""]
	add(unnamed, "Tags: a key is empty")
	add(nils.Logger(c.Logger), "Logger has no handler: make it with slog.New")
	return errs
}

var regionPattern = regexp.MustCompile(`^[a-z]{2,}(-[a-z0-9]+)+$`)

// regionOf returns the Region of a client, or the problem with the client.
func regionOf(client Client) (region string, err error) {
	if call.Unusable[sts.Client](client) {
		return "", errors.New("it is nil or zero")
	}
	var o sts.Options
	if panicked := guard.Call("Options", func() { o = client.Options() }); panicked != nil {
		return "", panicked
	}
	switch {
	case o.Region == "":
		return "", errors.New("it has no Region")
	case o.Region == "aws-global" || o.BaseEndpoint != nil && globalPattern.MatchString(*o.BaseEndpoint):
		return "", errors.New("it uses the global endpoint, which issues no tokens")
	case !regionPattern.MatchString(o.Region):
		return "", fmt.Errorf("%q is not a Region", o.Region)
	}
	return o.Region, nil
}

var globalPattern = regexp.MustCompile(`(?i)^https?://sts\.amazonaws\.com(:[0-9]+)?(/|$)`)

// host is by which the transport knows a Region. No request leaves the process under this name.
func host(region string) string { return region + ".sts.invalid" }
