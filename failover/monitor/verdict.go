package monitor

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// Bounds of a verdict.
const (
	maxSigned = 4 << 10          // bytes
	maxName   = 28               // bytes of the name of a monitor
	maxText   = 512              // bytes of a fleet, a provider or a region
	maxTTL    = 2 * time.Minute  // of a verdict
	maxAge    = 60 * time.Second // of a verdict when it arrives
	maxAhead  = 30 * time.Second // of Began before the clock of the receiver
	typ       = "regionjwt-verdict+jws"
)

// The values of the member verdict.
const (
	healthy   = "healthy"
	unhealthy = "unhealthy"
)

// Verdict is what a monitor says about a region.
type Verdict struct {
	// Provider is the ID of the provider, and Region the name of the region.
	Provider, Region string
	// Healthy is the verdict. A monitor that cannot tell says nothing.
	Healthy bool
	// Began is when the check began that led to the verdict. One that began no later than the last one changes nothing.
	Began time.Time
	// Seq is greater than that of every earlier verdict of this monitor about the region, also after a restart: for example the
	// time in milliseconds.
	Seq uint64
	// TTL is how long the verdict counts from Began, more than 0 and at most 2 minutes, rounded down to milliseconds. A monitor
	// repeats its verdict before that.
	TTL time.Duration
}

// signedVerdict is the payload of a signed verdict.
type signedVerdict struct {
	Fleet    string    `json:"fleet"`
	Provider string    `json:"provider"`
	Region   string    `json:"region"`
	Verdict  string    `json:"verdict"`
	Began    time.Time `json:"began"`
	Seq      uint64    `json:"seq"`
	TTL      uint64    `json:"ttl"` // milliseconds
}

var payloadNames = []string{"fleet", "provider", "region", "verdict", "began", "seq", "ttl"}

// Sign returns a verdict that the named monitor has signed for a fleet: a JWS in compact serialization (RFC 7515) with alg EdDSA,
// typ regionjwt-verdict+jws, kid monitor, and a payload with the members fleet, provider, region, verdict (healthy or unhealthy),
// began (RFC 3339), seq and ttl (milliseconds), and no others. Any JOSE library can make one. The key is one that the monitor
// uses for its verdicts alone. The error is every problem with the arguments, joined.
func Sign(v Verdict, fleet, monitor string, key ed25519.PrivateKey) ([]byte, error) {
	ttl := uint64(max(v.TTL, 0) / time.Millisecond)
	body := signedVerdict{fleet, v.Provider, v.Region, unhealthy, v.Began.UTC().Round(0), v.Seq, ttl}
	if v.Healthy {
		body.Verdict = healthy
	}
	errs := []error{checkName(monitor), body.check()}
	if len(key) != ed25519.PrivateKeySize {
		errs = append(errs, errors.New("monitor: the private key is not one of Ed25519"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	header, err := json.Marshal(map[string]string{"alg": "EdDSA", "typ": typ, "kid": monitor})
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return []byte(text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))), nil
}

// check returns every problem with a verdict that does not depend on the time or on the receiver.
func (v *signedVerdict) check() error {
	var errs []error
	add := func(wrong bool, text string) {
		if wrong {
			errs = append(errs, errors.New("monitor: "+text))
		}
	}
	for _, s := range []string{v.Fleet, v.Provider, v.Region} {
		add(s == "" || len(s) > maxText, "the fleet, the provider and the region have 1 to 512 bytes")
	}
	add(v.Began.IsZero() || v.Began.Year() < 1 || v.Began.Year() > 9999, "Began is not set")
	add(v.Seq == 0, "Seq is 0")
	add(v.TTL == 0, "TTL is 0, negative, or less than a millisecond")
	add(v.TTL > uint64(maxTTL/time.Millisecond), "TTL is more than 2 minutes")
	return errors.Join(errs...)
}

// checkName says why a name is not one of a monitor.
func checkName(name string) error {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, other) {
		return fmt.Errorf("monitor: the name of a monitor has 1 to %d characters: a to z, 0 to 9, hyphen, underscore", maxName)
	}
	return nil
}

// errNotAuthentic says that no configured monitor signed a verdict.
var errNotAuthentic = errors.New("monitor: the verdict is not signed by the key of a configured monitor")

// errMalformed says that a signed text is no verdict.
var errMalformed = errors.New("monitor: the signed text is not a verdict")

// open reads a signed verdict and verifies its signature, by the keys of the monitors.
func open(signed []byte, keys map[string]ed25519.PublicKey) (monitor string, v *signedVerdict, err error) {
	if len(signed) > maxSigned {
		return "", nil, fmt.Errorf("monitor: the verdict has more than %d bytes", maxSigned)
	}
	c, ok := jose.Split(string(signed))
	if !ok {
		return "", nil, errNotAuthentic
	}
	var b jose.Buffer
	j, ok := b.Decode(c)
	if !ok {
		return "", nil, errNotAuthentic
	}
	header, err := strictjson.Parse(nil, j.Header)
	if err != nil || !exactly(header, []string{"alg", "typ", "kid"}) {
		return "", nil, errNotAuthentic
	}
	alg := strictjson.Find(header, "alg")
	monitor = strictjson.Find(header, "kid").Text()
	key := keys[monitor]
	if !strictjson.Find(header, "typ").Is(typ) || !alg.Is("EdDSA") && !alg.Is("Ed25519") || key == nil ||
		len(j.Signature) != ed25519.SignatureSize || !ed25519.Verify(key, j.Input, j.Signature) {
		return "", nil, errNotAuthentic
	}
	payload, err := strictjson.Parse(nil, j.Payload)
	if err != nil || !exactly(payload, payloadNames) {
		return "", nil, errMalformed
	}
	v = new(signedVerdict)
	if err := strictjson.Unmarshal(j.Payload, v); err != nil || v.Verdict != healthy && v.Verdict != unhealthy {
		return "", nil, errMalformed
	}
	return monitor, v, v.check()
}

// exactly reports whether an object has these members and no others.
func exactly(members []strictjson.Member, names []string) bool {
	return len(members) == len(names) &&
		!slices.ContainsFunc(members, func(m strictjson.Member) bool { return !slices.Contains(names, m.Name) })
}
