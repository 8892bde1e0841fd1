package jwks

import (
	"context"
	"net/url"
	"strings"

	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/issuer"
)

// attemptDiscovered fetches from the URL that the discovery document of ep's issuer names. The last one stays in use: the
// document is read where there is none yet, once a day, and after a failed fetch.
func (c *Cache) attemptDiscovered(ctx context.Context, s *set, f *flight, ep *endpoint) outcome {
	ctx = outbound.WithIssuer(ctx, ep.issuer)
	now := c.clock()
	s.mu.Lock()
	rawURL, due := ep.url, now.reached(ep.discover) && f.purpose == forRefresh
	s.mu.Unlock()
	if rawURL == "" {
		found, failed := c.rediscover(ctx, s, ep)
		if failed != nil {
			return outcome{ep: ep, failed: failed}
		}
		a, failed := c.fetchSet(ctx, found, ep.lastAnswer(s))
		return outcome{ep: ep, answer: a, failed: failed}
	}
	keysCtx, cancel := context.WithTimeout(ctx, attemptTime) // or a dead URL would leave no time to find another
	a, failed := c.fetchSet(keysCtx, rawURL, ep.lastAnswer(s))
	cancel()
	if failed == nil && !due {
		return outcome{ep: ep, answer: a}
	}
	discoverCtx, cancel := context.WithTimeout(ctx, discoverTime)
	found, _ := c.rediscover(discoverCtx, s, ep)
	cancel()
	if found != "" && found != rawURL {
		if moved, failed := c.fetchSet(ctx, found, nil); failed == nil {
			return outcome{ep: ep, answer: moved}
		}
	}
	return outcome{ep: ep, answer: a, failed: failed}
}

// rediscover reads the discovery document of ep, and notes what it says.
func (c *Cache) rediscover(ctx context.Context, s *set, ep *endpoint) (string, *FetchError) {
	found, failed := c.discover(ctx, ep.issuer)
	now := c.clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed != nil {
		ep.discover = now.plus(rediscoverRetry)
		return "", failed
	}
	ep.url, ep.discover = found, now.plus(rediscoverAfter)
	return found, nil
}

// discover reads the OpenID Provider metadata of iss (OpenID Connect Discovery, section 4; RFC 8414, section 3.3) and
// returns its jwks_uri. The document has to name exactly iss.
func (c *Cache) discover(ctx context.Context, iss string) (string, *FetchError) {
	doc, failed := c.get(ctx, strings.TrimSuffix(iss, "/")+"/.well-known/openid-configuration", "")
	if failed != nil {
		return "", failed
	}
	members, err := strictjson.Parse(nil, string(doc.body))
	if err != nil {
		return "", fail(ClassMalformed)
	}
	uri := strings.Clone(strictjson.Find(members, "jwks_uri").Text())
	if !strictjson.Find(members, "issuer").Is(iss) {
		return "", fail(ClassDiscovery)
	}
	u, err := url.Parse(uri)
	if err != nil || len(uri) > 2048 || !c.config.mayFetch(u) {
		return "", fail(ClassDiscovery)
	}
	if !outbound.Discovered(u, iss, c.config.InsecureHTTPHosts) {
		return "", &FetchError{Class: ClassDiscovery, detail: outbound.ErrLocal.Error()}
	}
	if u.Scheme != "https" && issuer.IsLoopback(u.Hostname()) && strings.HasPrefix(iss, "https:") {
		return "", fail(ClassDiscovery) // an issuer elsewhere has no business with the loopback host
	}
	return uri, nil
}
