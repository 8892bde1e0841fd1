package audit

import (
	"errors"
	"log/slog"

	"github.com/regionjwt/regionjwt/internal/pseudonym"
	"github.com/regionjwt/regionjwt/verifier"
)

// outcome returns the category of an error as a label.
func outcome(e *verifier.Error) string {
	switch {
	case errors.Is(e, verifier.ErrUnavailable):
		return "unavailable"
	case errors.Is(e, verifier.ErrRateLimited):
		return "rate_limited"
	case errors.Is(e, verifier.ErrForbidden):
		return "forbidden"
	default:
		return "invalid"
	}
}

// attrs is a list of attributes without empty texts.
type attrs []slog.Attr

func (a *attrs) text(key, value string) {
	if value != "" {
		*a = append(*a, slog.String(key, value))
	}
}

// rejected describes a rejection. Nothing of it is a value that only the token has.
func rejected(e *verifier.Error) []slog.Attr {
	a := make(attrs, 0, 5)
	a.text("outcome", outcome(e))
	a.text("reason", string(e.Reason))
	if e.Reason == verifier.ReasonRevoked {
		a.text("rule", e.Detail)
	} else {
		a.text("detail", e.Detail)
	}
	a.text("provider", e.Provider)
	a.text("region", e.Region)
	return a
}

// accepted describes an accepted token, without names.
func (l *Log) accepted(t *verifier.Token) []slog.Attr {
	key := t.Key()
	a := make(attrs, 0, 8)
	a.text("outcome", "accepted")
	a.text("provider", t.Provider())
	a.text("issuer", t.Issuer())
	a.text("region", t.Region())
	a.text("key_id", key.ID())
	a.text("thumbprint", key.Thumbprint())
	return append(a, slog.Float64("key_age_seconds", key.Age().Seconds()), slog.String("key_origin", key.Origin()))
}

// taken describes how a decision was made.
func taken(d *verifier.Decision) []slog.Attr {
	return []slog.Attr{slog.Bool("cached", d.Cached), slog.Float64("duration_seconds", d.Duration.Seconds())}
}

// names returns the names of the user, the client, the token and the actor, as configured.
func (l *Log) names(t *verifier.Token) []slog.Attr {
	a := make(attrs, 0, 6)
	actor := t.Actor()
	if actor == nil {
		actor = &verifier.Actor{}
	} else {
		a = append(a, slog.Bool("delegated", true))
	}
	issuer := actor.Issuer
	if issuer == t.Issuer() {
		issuer = ""
	}
	for _, name := range [...]struct{ key, field, value string }{
		{pseudonym.Subject, pseudonym.Subject, t.Subject()},
		{pseudonym.ClientID, pseudonym.ClientID, t.ClientID()},
		{pseudonym.TokenID, pseudonym.TokenID, t.ID()},
		{pseudonym.Actor, pseudonym.Actor, actor.Subject},
		{"actor_issuer", pseudonym.Actor, issuer},
	} {
		switch {
		case name.value == "":
		case l.plain[name.field]:
			a.text(name.key, name.value)
		case l.config.PseudonymKey != nil:
			a.text(name.key, pseudonym.Of(l.config.PseudonymKey, name.field, t.Provider(), name.value))
		}
	}
	return a
}
