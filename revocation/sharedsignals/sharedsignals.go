// Package sharedsignals turns security events of identity providers into revocation rules: the OpenID Shared Signals Framework
// (SSF) 1.0 with the events of CAEP 1.0 and RISC 1.0, and OpenID Connect Back-Channel Logout 1.0. A session that a provider ends,
// or an account that it disables, is rejected by every service of a fleet within about a second.
//
// A [Receiver] gets security event tokens (SETs, RFC 8417) by push (RFC 8935, [Receiver.Handler]) or by polling (RFC 8936,
// Transmitter.PollURL). It checks them with the parser and the keys that also check access tokens, maps the subject (RFC 9493) to
// a provider and a sub, sid or jti, and writes a rule to a document of its own, with a key of its own. Services follow the
// document: see revocation.Signals. They bound what a receiver can do: a rule names one subject, session or token of an allowed
// provider, and ends after about a day. Operators can end each of its rules, or all of them.
//
// Nothing is guessed: an event whose subject is not mapped makes no rule. It is acknowledged, and OnEvent is called with the
// reason. A rule rejects the tokens that were issued before the event, so a user who signs in again is not locked out.
package sharedsignals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
	"github.com/regionjwt/regionjwt/store"
)

const (
	defaultLifetime = 24 * time.Hour
	maxLifetime     = signaldoc.LongLifetime - time.Hour
	maxTokenBytes   = 64 << 10 // of a SET
)

// Config configures a Receiver. Replica and Transmitters are required.
type Config struct {
	// Replica says where the rules are written: the stores that services follow with revocation.Signals. The default name is
	// "regionjwt/signals". Give the receiver a key of its own, whose public half is listed for this document alone. Several
	// receivers may share a document and a key.
	Replica store.ReplicaConfig

	// Transmitters are who may send events.
	Transmitters []Transmitter

	// TokenLifetime is the longest time from iat to exp of a token of any provider. Rules end when the last token has expired. 0
	// means 24 hours; above that, set revocation.Signals.MaxLifetime to at least 1 hour more.
	TokenLifetime time.Duration

	// Keys configures how the keys of transmitters are fetched. Each transmitter has a budget of its own. Its InsecureHTTPHosts
	// are also for PollURL and VerificationURL. Its Logger gets the lines of the Receiver, too.
	Keys jwks.Config

	// OnEvent is called after each event and each rejected token, from the goroutine that handles it, under no lock. It must not
	// block and must be safe for concurrent use. A panic is recovered and logged.
	//
	// kind is the last segment of the event's URI, "other" for an unknown one, or "" if the token was rejected. outcome is
	// "applied", "repeated", "no_rule", "ignored", "unknown_event", "subject_not_mapped", "provider_not_allowed", "future",
	// "ended", "no_room", "store_unavailable", "lookup_failed", "verified", "noted", "silent" (no verification event for 15
	// minutes), "authentication_failed", or the verifier.Reason of a token that was rejected. ruleID is "" unless a rule is in
	// effect because of the event.
	OnEvent func(transmitter, kind, outcome, ruleID string)

	now func() time.Time // nil means time.Now; tests set it
}

// Transmitter is who sends events.
type Transmitter struct {
	// Provider says where the keys of the transmitter are, and which iss its tokens have. Its ID names the transmitter. For SSF
	// set Region.DiscoveryURL to the URL that ends in "/.well-known/ssf-configuration". Its HTTPClient also sends polls and
	// verification requests: clientcredentials.TokenSource.Transport can authorize them.
	Provider issuer.Provider

	// Audience lists the accepted values of aud, one of which a token must have: required.
	Audience []string

	// Authorization lists the accepted values of the Authorization header of a push, such as "Bearer ..."; during a rotation
	// there are two. None means that no header is demanded; tokens are signed in any case.
	Authorization []string

	// Issuers maps the iss of a subject to the ID of the provider whose tokens are rejected: those for which the transmitter may
	// speak. Required. It is also how the iss of a logout token is mapped.
	Issuers map[string]string

	// Lookup maps other subjects to a provider, one that Issuers names, and the sub of its tokens. format is that of RFC 9493,
	// such as "email", and identifier has its members. "" means that there is no such user here. After an error the transmitter
	// must send the event again. It has 2 seconds. Nil maps nothing.
	Lookup func(ctx context.Context, format string, identifier map[string]string) (provider, subject string, err error)

	// Ignore lists what makes no difference: kinds of events that make no rule ("credential-change"); members of a complex
	// subject that no rule can name ("device", "tenant"), with which the rule matches more than the event says; "typ" to accept
	// tokens without typ secevent+jwt, as of early transmitters; "exp" to accept tokens with an exp that has not passed.
	Ignore []string

	// PollURL is the endpoint of the transmitter for polling (RFC 8936). "" means that it pushes.
	PollURL string

	// VerificationURL and StreamID ask the transmitter for a verification event every 5 minutes (SSF section 8.1.4): the only
	// proof that a silent stream works. "" means that Status cannot tell.
	VerificationURL, StreamID string
}

// Receiver receives security events. It is safe for concurrent use.
type Receiver struct {
	config       Config
	log          *slog.Logger
	now          func() time.Time
	document     signaldoc.Document
	transmitters []*transmitter
}

// transmitter is a Transmitter in use.
type transmitter struct {
	Transmitter
	translation

	id      string
	keys    *jwks.Cache
	issuers map[string][]string // the regions of each iss
	writing atomic.Int32        // events that wait for the stores

	mu       sync.Mutex // guards the fields below
	stream   string     // its state
	streamAt time.Time
	verified time.Time
	silent   bool
	failing  map[string]bool // the kinds of requests that fail
}

// New returns a Receiver, or every problem with c as one joined error. It does no I/O and starts no goroutine.
func New(c Config) (*Receiver, error) {
	var errs []error
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("sharedsignals: "+format, args...))
		}
	}
	add(len(c.Transmitters) == 0, "Transmitters is empty")
	add(c.TokenLifetime < 0 || c.TokenLifetime > maxLifetime, "TokenLifetime is %v: use 0 for 24 h, or up to %v",
		c.TokenLifetime, maxLifetime)
	badLogger := nils.Logger(c.Keys.Logger)
	add(badLogger, "Keys.Logger has no handler: make it with slog.New")
	r := &Receiver{config: c, now: c.now}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log = guard.Logger(nil); !badLogger {
		r.log = guard.Logger(c.Keys.Logger)
	}
	var providers []string
	for i := range c.Transmitters {
		t, problems := c.compile(&c.Transmitters[i])
		for _, problem := range problems {
			add(true, "transmitter %q: %w", c.Transmitters[i].Provider.ID, problem)
		}
		add(slices.ContainsFunc(r.transmitters, func(o *transmitter) bool { return o.id == t.id }),
			"two transmitters have the ID %q", t.id)
		r.transmitters = append(r.transmitters, t)
		providers = append(providers, t.providers...)
	}
	slices.Sort(providers)
	document, err := signaldoc.Open(signaldoc.Config{
		Replica: c.Replica, Providers: slices.Compact(providers), Logger: r.log, Now: r.now,
	})
	add(err != nil, "%w", err)
	r.document = document
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// compile returns a checked copy of d, and every problem with it.
func (c *Config) compile(d *Transmitter) (*transmitter, []error) {
	t := &transmitter{Transmitter: *d, id: d.Provider.ID, issuers: map[string][]string{}, failing: map[string]bool{}}
	errs := d.problems(c.Keys.InsecureHTTPHosts)
	keys, err := jwks.New([]issuer.Provider{d.Provider}, c.Keys)
	if err != nil {
		errs = append(errs, err)
	}
	t.keys = keys
	for _, r := range d.Provider.Regions {
		for _, iss := range r.Issuers {
			t.issuers[iss] = append(t.issuers[iss], r.Name)
		}
	}
	m := mapping{issuers: map[string]string{}, ignore: slices.Clone(d.Ignore), lookup: d.Lookup}
	for iss, id := range d.Issuers {
		m.issuers[iss] = id
		if !slices.Contains(m.providers, id) {
			m.providers = append(m.providers, id)
		}
	}
	t.translation = translation{mapping: m, transmitter: noteName(t.id), lifetime: cmp.Or(c.TokenLifetime, defaultLifetime)}
	t.Audience, t.Authorization = slices.Clone(d.Audience), slices.Clone(d.Authorization)
	return t, errs
}

const maxNoteName = 256

// noteName is the name of a transmitter in the note of a rule, which holds printable text only.
func noteName(id string) string {
	quoted := strings.Trim(fmt.Sprintf("%+q", id), `"`)
	return quoted[:min(len(quoted), maxNoteName)]
}

// problems returns every problem with d, except with its Provider.
func (d *Transmitter) problems(plain []string) (errs []error) {
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(len(d.Audience) == 0 || slices.Contains(d.Audience, ""), "Audience is empty: list the aud of the stream")
	add(len(d.Issuers) == 0, "Issuers is empty: no event could make a rule")
	for iss, id := range d.Issuers {
		add(iss == "" || id == "" || id == "*", "Issuers maps %q to %q: both must name one", iss, id)
	}
	for _, value := range d.Authorization {
		add(strings.TrimSpace(value) != value || value == "", "Authorization has a value that no header can have")
	}
	for _, name := range d.Ignore {
		known := slices.Contains(complexMembers, name) && name != "user" && name != "session" || name == "typ" || name == "exp"
		add(!known && (!isKind(name) || name == kindVerification || name == kindStreamUpdated),
			"Ignore names %q, which is not a kind of event that makes rules, a member of a complex subject, typ or exp", name)
	}
	for field, text := range map[string]string{"PollURL": d.PollURL, "VerificationURL": d.VerificationURL} {
		u, err := url.Parse(text)
		add(text != "" && (err != nil || !outbound.Allowed(u, plain)),
			"%s: https is required; Keys.InsecureHTTPHosts lists exceptions", field)
	}
	add((d.VerificationURL == "") != (d.StreamID == ""), "VerificationURL and StreamID need each other")
	return errs
}

var errNotMade = errors.New("sharedsignals: the Receiver was not made by New")

// Run fetches keys ahead of need, follows the document of rules, polls the transmitters that have a PollURL, and asks for
// verification events, until ctx ends. It returns the cause. Pushes are received without it, but rules that a store has lost are
// then not written again.
func (r *Receiver) Run(ctx context.Context) error {
	if r == nil || r.document == nil {
		return errNotMade
	}
	var parts sync.WaitGroup
	defer parts.Wait()
	for _, t := range r.transmitters {
		parts.Go(func() { _ = t.keys.Run(ctx) }) // it ends with ctx
		if t.PollURL != "" {
			parts.Go(func() { r.poll(ctx, t) })
		}
		if t.VerificationURL != "" {
			parts.Go(func() { r.verifyStream(ctx, t) })
		}
	}
	return r.document.Run(ctx)
}

// Status is the state of the stream of one transmitter.
type Status struct {
	// Transmitter is the ID of its Provider.
	Transmitter string `json:"transmitter"`
	// Stream is what the transmitter last said of it: "enabled", "paused" or "disabled"; "silent" if no verification event has
	// come for 15 minutes, although they are asked for; "" if nothing is known.
	Stream string `json:"stream,omitempty"`
	// Verified is when the latest verification event was issued; the zero time if none has come.
	Verified time.Time `json:"verified,omitzero"`
}

// Status returns the state of each stream, in the order of Config.Transmitters.
func (r *Receiver) Status() []Status {
	if r == nil {
		return nil
	}
	all := make([]Status, 0, len(r.transmitters))
	for _, t := range r.transmitters {
		t.mu.Lock()
		s := Status{Transmitter: t.id, Stream: t.stream, Verified: t.verified}
		if t.silent && (s.Stream == "" || s.Stream == "enabled") {
			s.Stream = outcomeSilent
		}
		t.mu.Unlock()
		all = append(all, s)
	}
	return all
}
