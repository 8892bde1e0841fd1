package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	poolSize    = 400 // tokens of a kind that are in use
	briefKept   = 120
	watchedKept = 24
	firstTokens = 200 // of each kind, before the load begins
	keysKept    = 3   // that an issuer publishes
)

// region is an issuer, the proxy before it, its tokens and what is true of them.
type region struct {
	name, alg   string
	config      issuerConfig
	proxy       *proxy
	past        past
	client      *http.Client
	forger      *forger
	doubtful    limiter // of tokens whose key may not be known: they may wait for long
	unpublished limiter

	mu        sync.Mutex
	process   *process
	address   string
	keys      map[string]*key
	pools     map[kind][]*token
	withdrawn []*token // of the key that was withdrawn last
	users     int
	rotations int
}

func newRegion(ctx context.Context, name, alg, dir string, life time.Duration) (*region, error) {
	p, err := newProxy(ctx)
	if err != nil {
		return nil, err
	}
	f, err := newForger(alg)
	if err != nil {
		return nil, err
	}
	r := &region{
		name: name, alg: alg, proxy: p, forger: f, keys: map[string]*key{}, pools: map[kind][]*token{},
		client:   &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2}},
		doubtful: limiter{every: 50 * time.Millisecond}, unpublished: limiter{every: 30 * time.Millisecond},
		config: issuerConfig{
			Issuer: p.url(), Listen: "127.0.0.1:0", Alg: alg, Keys: filepath.Join(dir, name+".json"),
			Life: int(life / time.Second),
		},
	}
	return r, r.start(ctx)
}

// start runs the process of the issuer, at the address that it had before.
func (r *region) start(ctx context.Context) error {
	var ready issuerReady
	p, err := start(ctx, "issuer", r.config, &ready)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.process, r.address, r.config.Listen = p, ready.Address, ready.Address
	r.learn(ready.Kids)
	r.mu.Unlock()
	r.proxy.set(ready.Address, none)
	return nil
}

// learn takes in which keys are published. The caller holds mu.
func (r *region) learn(kids []string) {
	for _, kid := range kids {
		r.keyOf(kid)
	}
	for kid, k := range r.keys {
		if slices.Contains(kids, kid) || !k.withdrawn.get().IsZero() {
			continue
		}
		k.withdrawn.set(time.Now())
		var moved []*token
		for kind, pool := range r.pools {
			r.pools[kind] = slices.DeleteFunc(pool, func(t *token) bool {
				if t.key == k && !t.bad && len(moved) < 10 {
					moved = append(moved, t)
				}
				return t.key == k
			})
		}
		r.withdrawn = moved
	}
}

// keyOf returns what is true of a key. The caller holds mu.
func (r *region) keyOf(kid string) *key {
	k := r.keys[kid]
	if k == nil {
		k = &key{kid: kid, published: time.Now()}
		r.keys[kid] = k
	}
	return k
}

// rotate puts a new key in use; the oldest is withdrawn when there are more than keysKept.
func (r *region) rotate() error {
	var ready issuerReady
	if err := r.process.ask(issuerCommand{"rotate"}, &ready); err != nil {
		return err
	}
	r.mu.Lock()
	r.learn(ready.Kids)
	r.rotations++
	r.mu.Unlock()
	if len(ready.Kids) <= keysKept {
		return nil
	}
	r.mu.Lock()
	r.learn(ready.Kids[:keysKept]) // from now on either answer about the oldest is right
	r.mu.Unlock()
	return r.process.ask(issuerCommand{"withdraw"}, &ready)
}

// issue gets a token at the token endpoint of the issuer and puts it into the pool of its kind.
func (r *region) issue(ctx context.Context, what kind) error {
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}, "resource": {api}}
	client := clientMachine
	switch what {
	case userKind:
		r.mu.Lock()
		r.users++
		user := fmt.Sprintf("user-%s-%d", r.name, r.users) // a rule on a subject is about the whole provider
		r.mu.Unlock()
		client = clientUser
		form.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		form.Set("assertion", user)
	case briefKind:
		client = clientBrief
	case audienceKind:
		form.Set("resource", otherAPI)
	default:
	}
	raw, err := r.request(ctx, client, form)
	if err != nil {
		return err
	}
	h, c, err := read(raw)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(&token{
		raw: raw, kind: what, region: r, key: r.keyOf(h.KeyID), expires: time.Unix(c.Expires, 0), id: c.ID, sub: c.Subject,
		bad: what == audienceKind,
	})
	return nil
}

func (r *region) request(ctx context.Context, client string, form url.Values) (string, error) {
	r.mu.Lock()
	endpoint := "http://" + r.address + tokenPath
	r.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(client, secret)
	resp, err := r.client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	var got struct {
		Token string `json:"access_token"`
	}
	if err := decode(body, &got); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || got.Token == "" {
		return "", fmt.Errorf("%s: the token endpoint answers %d", r.name, resp.StatusCode)
	}
	return got.Token, nil
}

// put adds a token to its pool, in the place of any other where the pool is full. The caller holds mu.
func (r *region) put(t *token) {
	if t.key != nil && !t.key.withdrawn.get().IsZero() {
		return
	}
	pool, most := r.pools[t.kind], poolSize
	if t.kind == briefKind { // in order, so that there are live and expired ones
		pool = append(pool, t)
		r.pools[t.kind] = pool[max(0, len(pool)-briefKept):]
		return
	}
	if len(pool) < most {
		r.pools[t.kind] = append(pool, t)
		return
	}
	pool[rand.IntN(most)] = t //nolint:gosec // any
}

// fill issues the first tokens.
func (r *region) fill(ctx context.Context) error {
	for range firstTokens {
		for _, what := range []kind{userKind, machineKind} {
			if err := r.issue(ctx, what); err != nil {
				return err
			}
		}
	}
	for range 20 {
		for _, what := range []kind{briefKind, audienceKind} {
			if err := r.issue(ctx, what); err != nil {
				return err
			}
		}
	}
	return nil
}

// run issues and forges tokens until ctx ends; while the issuer is down there are no new tokens.
func (r *region) run(ctx context.Context) {
	for n := 0; pause(ctx, 50*time.Millisecond); n++ {
		what := [...]kind{userKind, machineKind, userKind, machineKind, briefKind, userKind, machineKind, audienceKind}[n%8]
		_ = r.issue(ctx, what)
		if n%8 == 0 {
			r.forge()
		}
	}
}

// forge adds a token of each bad kind, made from a good one whose key is known.
func (r *region) forge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	pool := r.pools[userKind]
	if len(pool) == 0 {
		return
	}
	t := pool[rand.IntN(len(pool))] //nolint:gosec // any
	if t.key.proven.get().IsZero() {
		return
	}
	for _, what := range []kind{forgedKind, malformedKind, issuerKind} {
		raw := r.forger.make(what, t.raw)
		if raw == "" {
			continue
		}
		f := &token{raw: raw, kind: what, region: r, bad: true}
		if what == forgedKind {
			f.key = t.key
		}
		r.put(f)
	}
}

// pick returns a token to be presented as one of a kind, or nil where there is none just now.
func (r *region) pick(what kind, random *rand.Rand) *token {
	if what == strangerKind {
		if !r.unpublished.take() {
			return nil
		}
		return &token{raw: r.forger.make(what, r.config.Issuer), kind: what, region: r, unpublished: true}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pool, now := r.pools[what], time.Now()
	switch what {
	case withdrawnKind:
		pool = r.withdrawn
	case expiredKind:
		pool = r.pools[briefKind]
	default:
	}
	for range 8 {
		if len(pool) == 0 {
			return nil
		}
		t := pool[random.IntN(len(pool))]
		over := now.After(t.expires.Add(leeway)) && !t.bad
		switch {
		case what == expiredKind != over: // it is the other one's turn
		case !t.bad && !over && t.key.proven.get().IsZero() && !r.doubtful.take():
		default:
			return t
		}
	}
	return nil
}

// limiter lets something happen now and then.
type limiter struct {
	every time.Duration
	mu    sync.Mutex
	next  time.Time
}

func (l *limiter) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next) {
		return false
	}
	l.next = now.Add(l.every)
	return true
}
