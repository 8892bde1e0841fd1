package sharedsignals

import (
	"strings"

	"github.com/regionjwt/regionjwt/internal/secevent"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// kind is what is done about a kind of event.
type kind struct {
	name string
	// revokes reports whether the event makes a rule. Nil means that it does not.
	revokes func(event strictjson.Value) bool
	// reserved says that the rule may use the reserved room.
	reserved bool
}

// Names of events that have a meaning of their own here.
const (
	kindVerification  = "verification"
	kindStreamUpdated = "stream-updated"
	kindLogout        = "backchannel-logout"
	kindOther         = "other" // one that is not in the table
)

// The beginnings of the URIs of events (CAEP 1.0, RISC 1.0, SSF 1.0), with those of earlier drafts.
const (
	caepBase  = "https://schemas.openid.net/secevent/caep/event-type/"
	riscBase  = "https://schemas.openid.net/secevent/risc/event-type/"
	ssfBase   = "https://schemas.openid.net/secevent/ssf/event-type/"
	sseBase   = "https://schemas.openid.net/secevent/sse/event-type/"
	oauthBase = "https://schemas.openid.net/secevent/oauth/event-type/"
)

func always(strictjson.Value) bool { return true }

// unless returns a function that is false if a member of the event has a value. An event without the member makes a rule.
func unless(name, value string) func(strictjson.Value) bool {
	return func(event strictjson.Value) bool { return !member(event, name).Is(value) }
}

// member returns a member of an object. One that is null is absent.
func member(object strictjson.Value, name string) strictjson.Value {
	for m := range object.Members() {
		if m.Name == name && m.Value.Kind() != strictjson.Null {
			return m.Value
		}
	}
	return strictjson.Value{}
}

// kinds are the known events by URI.
var kinds = makeKinds()

func makeKinds() map[string]kind {
	all := map[string]kind{secevent.LogoutEvent: {name: kindLogout, revokes: always}}
	for _, one := range []struct {
		base string
		kind kind
	}{
		{caepBase, kind{name: "session-revoked", revokes: always}},
		{caepBase, kind{name: "token-claims-change", revokes: always}},
		{caepBase, kind{name: "credential-change", revokes: unless("change_type", "create")}},
		{caepBase, kind{name: "assurance-level-change", revokes: unless("change_direction", "increase")}},
		{caepBase, kind{name: "device-compliance-change", revokes: unless("current_status", "compliant")}},
		{riscBase, kind{name: "sessions-revoked", revokes: always}},
		{riscBase, kind{name: "account-disabled", revokes: always, reserved: true}},
		{riscBase, kind{name: "account-purged", revokes: always, reserved: true}},
		{riscBase, kind{name: "credential-compromise", revokes: always, reserved: true}},
		{riscBase, kind{name: "identifier-changed", revokes: always}},
		{oauthBase, kind{name: "tokens-revoked", revokes: always}},
		{oauthBase, kind{name: "token-revoked", revokes: always}},
	} {
		all[one.base+one.kind.name] = one.kind
	}
	for base, names := range map[string]string{
		caepBase: "session-established session-presented risk-level-change",
		riscBase: "account-enabled account-credential-change-required identifier-recycled opt-in opt-out-initiated " +
			"opt-out-cancelled opt-out-effective recovery-activated recovery-information-changed verification",
		ssfBase: "verification stream-updated",
		sseBase: "verification stream-updated",
	} {
		for name := range strings.FieldsSeq(names) {
			all[base+name] = kind{name: name}
		}
	}
	return all
}

// isKind reports whether there are events of that name.
func isKind(name string) bool {
	for _, k := range kinds {
		if k.name == name {
			return true
		}
	}
	return false
}
