package albauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

const (
	requestTime = 2 * time.Second
	hedgeAfter  = time.Second // of silence, another request is sent on another connection
	idleTime    = 90 * time.Second
	pingAfter   = 15 * time.Second // of silence on an HTTP/2 connection
	pingTime    = 5 * time.Second
	maxKeyBytes = 4 << 10
	maxRequests = 256 // for one key each, at once
)

// fetcher fetches keys. It has two clients with connections of their own, so that a request whose connection has died can be
// repeated.
type fetcher struct {
	clients [2]*http.Client
	running atomic.Int32
}

// answer is what one key was found to be: a failure, absent, or a key.
type answer struct {
	failure    string
	retryAfter time.Duration
	absent     bool
	key        *jose.Key
}

func newFetcher(user *http.Client) *fetcher {
	f := &fetcher{}
	for i := range f.clients {
		f.clients[i] = outbound.Client(user, nil)
		switch t := f.clients[i].Transport.(type) {
		case nil:
			own := outbound.Transport(requestTime, idleTime)
			own.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime}
			f.clients[i].Transport = own
		case *http.Transport:
			own := t.Clone()
			if own.MaxResponseHeaderBytes == 0 {
				own.MaxResponseHeaderBytes = limit.HeaderBytes
			}
			f.clients[i].Transport = own
		}
	}
	return f
}

// get asks for a key. If there is no answer in a second, it asks again on a new connection. The first answer that says
// something decides.
func (f *fetcher) get(url, kid string) answer {
	url += "/" + kid
	if f.running.Load() >= maxRequests { // of a client that does not heed contexts
		return answer{failure: label.Timeout}
	}
	ctx, cancel := context.WithTimeout(context.Background(), requestTime+hedgeAfter)
	defer cancel()
	answers := make(chan answer, len(f.clients))
	ask := func(c *http.Client) {
		f.running.Add(1)
		defer f.running.Add(-1)
		a := answer{failure: "panic"}
		defer func() { answers <- a }()
		guard.Report(guard.Call("the HTTP client of albauth", func() { a = request(ctx, c, url, kid) }))
	}
	go ask(f.clients[0])
	hedge := time.NewTimer(hedgeAfter)
	defer hedge.Stop()
	select {
	case a := <-answers:
		return a
	case <-hedge.C:
	}
	f.clients[1].CloseIdleConnections()
	go ask(f.clients[1])
	a := answer{failure: label.Timeout}
	for range f.clients {
		select {
		case a = <-answers:
		case <-ctx.Done(): // also if the client does not heed it
			return a
		}
		if a.failure == "" {
			break
		}
	}
	return a
}

// request makes one request.
func request(ctx context.Context, c *http.Client, url, kid string) answer {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return answer{failure: label.Malformed}
	}
	req.Header.Set("User-Agent", outbound.UserAgent)
	resp, err := c.Do(req)
	if err != nil {
		return answer{failure: outbound.Classify(ctx, err)}
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusForbidden:
		return answer{absent: true}
	default:
		return answer{
			failure: label.Status(resp.StatusCode), retryAfter: outbound.RetryAfter(resp.Header, time.Now(), mostRetry),
		}
	}
	body, err := outbound.Body(resp.Body, maxKeyBytes)
	if err != nil {
		return answer{failure: outbound.Classify(ctx, err)}
	}
	k, err := parse(kid, body)
	if err != nil {
		return answer{failure: label.Malformed}
	}
	return answer{key: k}
}

var errKey = errors.New("not a PEM file with one public key on the curve P-256")

// parse reads the key of a kid. It is read as a JWK, too, and both readers must agree.
func parse(kid string, text []byte) (*jose.Key, error) {
	if !strings.HasPrefix(string(text), "-----BEGIN PUBLIC KEY-----") {
		return nil, errKey
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" || len(block.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, errKey
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errKey
	}
	ec, ok := public.(*ecdsa.PublicKey)
	if !ok || !jose.Fits(jose.ES256, ec) {
		return nil, errKey
	}
	jwk, err := (&jose.Key{ID: kid, Algorithm: jose.ES256, Public: ec}).JWK()
	if err != nil {
		return nil, errKey
	}
	k, skip := jose.ParseKey(jwkValue(jwk), 0)
	if skip != "" || jose.IsForbidden(k, nil) {
		return nil, errKey
	}
	return k, nil
}

// jwkValue returns a JWK as ParseKey wants it.
func jwkValue(jwk []byte) strictjson.Value {
	members, _ := strictjson.Parse(nil, `{"k":`+string(jwk)+`}`)
	return strictjson.Find(members, "k")
}
