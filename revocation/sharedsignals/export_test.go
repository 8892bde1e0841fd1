package sharedsignals

import (
	"context"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
	"github.com/regionjwt/regionjwt/internal/secevent"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/revocation/internal/signaldoc"
)

// Errors, for tests.
var (
	ErrSubject = errSubject
	ErrEvent   = errEvent
	ErrLookup  = errLookup
)

// Finding is what an event leads to.
type Finding struct {
	Kind, Outcome string
	Rules         []signaldoc.Rule
}

// Translate translates the payload of a token, which is not signed.
func Translate(ctx context.Context, d *Transmitter, payload string, now time.Time) ([]Finding, error) {
	members, err := strictjson.Parse(nil, payload)
	if err != nil {
		return nil, err
	}
	iat, _ := jose.NumericDate(strictjson.Find(members, "iat").Raw())
	events := strictjson.Find(members, "events")
	token := secevent.Token{
		Issuer: strictjson.Find(members, "iss").Text(), ID: strictjson.Find(members, "jti").Text(), IssuedAt: iat,
		Subject: strictjson.Find(members, "sub").Text(), Events: events, Members: members,
	}
	for m := range events.Members() {
		token.Logout = token.Logout || m.Name == secevent.LogoutEvent
	}
	t, _ := (&Config{}).compile(d)
	found, err := t.translate(ctx, &token, now)
	var all []Finding
	for _, f := range found {
		all = append(all, Finding{f.kind, f.outcome, f.rules})
	}
	return all, err
}

// SetNow sets the clock of a Config.
func SetNow(c *Config, now func() time.Time) { c.now = now }
