package sharedsignals_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
)

const (
	realm  = "https://keycloak.example.com/realms/shop"
	google = "https://accounts.google.com/"
)

// described is a transmitter with a mapping of everything that has one.
func described() *sharedsignals.Transmitter {
	return &sharedsignals.Transmitter{
		Provider: issuer.OIDC(realm), Audience: []string{"services"}, Issuers: map[string]string{realm: "shop", google: "google"},
	}
}

// The messages are those that the documentation of transmitters shows, member by member, with other names in them.
const (
	keycloakSession = `{"jti":"7f4c","iss":"https://keycloak.example.com/realms/shop","aud":"services","iat":1767322800,"txn":"a1",
		"sub_id":{"format":"complex","user":{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"alice"},
		"session":{"format":"opaque","id":"s1"}},"events":{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":
		{"event_timestamp":1767322790,"initiating_entity":"admin","reason_admin":{"en":"Admin terminated session"}}}}`
	keycloakLegacy = `{"jti":"7f4d","iss":"https://keycloak.example.com/realms/shop","aud":"services","iat":1767322800,"events":
		{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{"reason_admin":null,"reason_user":null,
		"event_timestamp":1767322790,"initiating_entity":"user","credential_type":null,"change_type":null,"subject":{"user":
		{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"alice"},"session":{"format":"opaque","id":"s1"}}}}}`
	keycloakCredential = `{"jti":"7f4e","iss":"https://keycloak.example.com/realms/shop","aud":["services"],"iat":1767322800,
		"txn":"a2","sub_id":{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"alice"},"events":
		{"https://schemas.openid.net/secevent/caep/event-type/credential-change":{"credential_type":"password",
		"change_type":"update","event_timestamp":1767322790,"initiating_entity":"user","kc_credential_id":"x"}}}`
	keycloakDisabled = `{"jti":"7f4f","iss":"https://keycloak.example.com/realms/shop","aud":"services","iat":1767322800,"txn":"a3",
		"sub_id":{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"alice"},"events":
		{"https://schemas.openid.net/secevent/risc/event-type/account-disabled":{"reason":"disabled-by-bruteforce",
		"event_timestamp":1767322790,"initiating_entity":"system"}}}`
	googleRevoked = `{"iss":"https://accounts.google.com/","aud":"123456789-abc.apps.googleusercontent.com","iat":1767322800,
		"jti":"756E69717565206964656E746966696572","events":{"https://schemas.openid.net/secevent/risc/event-type/account-disabled":
		{"subject":{"subject_type":"iss-sub","iss":"https://accounts.google.com/","sub":"7375626A656374"},"reason":"hijacking"}}}`
	googleTokens = `{"iss":"https://accounts.google.com/","aud":"123456789-abc.apps.googleusercontent.com","iat":1767322800,"jti":"75",
		"events":{"https://schemas.openid.net/secevent/oauth/event-type/token-revoked":{"subject":{"subject_type":"oauth_token",
		"token_type":"refresh_token","token_identifier_alg":"hash_base64_sha512_sha512","token":"double"}}}}`
	googleVerification = `{"iss":"https://accounts.google.com/","aud":"123456789-abc.apps.googleusercontent.com","iat":1767322800,
		"jti":"76","events":{"https://schemas.openid.net/secevent/risc/event-type/verification":{"state":"hello"}}}`
	millis = `{"jti":"m","iss":"https://keycloak.example.com/realms/shop","aud":"services","iat":1767322800,
		"sub_id":{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"alice"},"events":
		{"https://schemas.openid.net/secevent/caep/event-type/session-revoked":{"event_timestamp":1767322790000}}}`
	logoutBoth = `{"iss":"https://keycloak.example.com/realms/shop","aud":"services","iat":1767322800,"exp":1767322920,"jti":"l",
		"sub":"alice","sid":"s1","events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`
)

var now = time.Unix(1767322805, 0)

func translate(t *testing.T, d *sharedsignals.Transmitter, payload string) sharedsignals.Finding {
	t.Helper()
	found, err := sharedsignals.Translate(t.Context(), d, payload, now)
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// Each message makes the rule that it asks for, and no broader one.
func TestMessagesOfTransmittersAreUnderstood(t *testing.T) {
	t.Parallel()
	at, issued := time.Unix(1767322791, 0), time.Unix(1767322801, 0)
	for name, c := range map[string]struct {
		payload, kind, provider, subject, session string
		before                                    time.Time
		reserved                                  bool
	}{
		"Keycloak, session":          {keycloakSession, "session-revoked", "shop", "alice", "s1", at, false},
		"Keycloak, session, earlier": {keycloakLegacy, "session-revoked", "shop", "alice", "s1", at, false},
		"Keycloak, all sessions":     {strings.Replace(keycloakSession, `"s1"`, `"ALL"`, 1), "session-revoked", "shop", "alice", "", at, false},
		"Keycloak, credential":       {keycloakCredential, "credential-change", "shop", "alice", "", at, false},
		"Keycloak, disabled":         {keycloakDisabled, "account-disabled", "shop", "alice", "", at, true},
		"Google, disabled":           {googleRevoked, "account-disabled", "google", "7375626A656374", "", issued, true},
		"milliseconds":               {millis, "session-revoked", "shop", "alice", "", at, false},
		"logout":                     {logoutBoth, "backchannel-logout", "shop", "alice", "s1", issued, false},
		"toe": {
			strings.NewReplacer(`"event_timestamp":1767322790,`, ``, `"txn":"a2"`, `"toe":1767322790`).Replace(keycloakCredential),
			"credential-change", "shop", "alice", "", at, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := translate(t, described(), c.payload)
			require.Equal(t, c.kind, f.Kind)
			require.Empty(t, f.Outcome)
			require.Len(t, f.Rules, 1)
			r := f.Rules[0]
			require.Equal(t, []string{c.provider, c.subject, c.session, ""}, []string{r.Provider, r.Subject, r.SessionID, r.TokenID})
			require.True(t, c.before.Equal(r.IssuedBefore), r.IssuedBefore)
			require.Equal(t, c.reserved, r.Reserved)
			require.WithinDuration(t, r.IssuedBefore.Add(24*time.Hour), r.Ends, 10*time.Minute)
		})
	}
}

// subjectOf returns a token about a subject.
func subjectOf(subject string) string {
	return fmt.Sprintf(`{"jti":"j","iss":%q,"iat":1767322800,"sub_id":%s,"events":{"%s":{}}}`, realm, subject,
		"https://schemas.openid.net/secevent/caep/event-type/session-revoked")
}

const (
	alice   = `{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"alice"}`
	bob     = `{"format":"iss_sub","iss":"https://keycloak.example.com/realms/shop","sub":"bob"}`
	foreign = `{"format":"iss_sub","iss":"https://other.example.com","sub":"alice"}`
	session = `{"format":"opaque","id":"s1"}`
)

// A subject that no rule can name makes no rule: never a broader one.
func TestNothingIsGuessedAboutASubject(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ subject, outcome string }{
		"another issuer":                    {foreign, "provider_not_allowed"},
		"an email":                          {`{"format":"email","email":"a@example.com"}`, "subject_not_mapped"},
		"a phone":                           {`{"subject_type":"phone","phone_number":"+1"}`, "subject_not_mapped"},
		"opaque":                            {session, "subject_not_mapped"},
		"a format of tomorrow":              {`{"format":"badge","id":"7"}`, "subject_not_mapped"},
		"an assertion":                      {`{"format":"saml_assertion_id","issuer":"i","assertion_id":"a"}`, "subject_not_mapped"},
		"a tenant alone":                    {`{"format":"complex","tenant":` + session + `}`, "subject_not_mapped"},
		"a user in a tenant":                {`{"format":"complex","user":` + alice + `,"tenant":` + session + `}`, "subject_not_mapped"},
		"a user with a member of tomorrow":  {`{"format":"complex","user":` + alice + `,"badge":` + session + `}`, "subject_not_mapped"},
		"all sessions of nobody":            {`{"format":"complex","session":{"format":"opaque","id":"ALL"}}`, "subject_not_mapped"},
		"all sessions of a user not mapped": {`{"format":"complex","user":{"format":"email","email":"a@b"},"session":{"format":"opaque","id":"ALL"}}`, "subject_not_mapped"},
		"a session of two providers":        {`{"format":"complex","session":` + session + `}`, "subject_not_mapped"},
		"a session of a foreign user":       {`{"format":"complex","user":` + foreign + `,"session":` + session + `}`, "provider_not_allowed"},
		"a session by email":                {`{"format":"complex","user":` + alice + `,"session":{"format":"email","email":"a@b"}}`, "subject_not_mapped"},
		"a token of another issuer":         {`{"format":"jwt_id","iss":"https://other.example.com","jti":"t"}`, "provider_not_allowed"},
		"two users of one provider":         {`{"format":"aliases","identifiers":[` + alice + `,` + bob + `]}`, "subject_not_mapped"},
		"aliases of nobody":                 {`{"format":"aliases","identifiers":[{"format":"email","email":"a@b"}]}`, "subject_not_mapped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := translate(t, described(), subjectOf(c.subject))
			require.Equal(t, c.outcome, f.Outcome)
			require.Empty(t, f.Rules)
		})
	}
	for name, subject := range map[string]string{
		"no object": `"alice"`, "nothing": `{}`, "no sub": `{"format":"iss_sub","iss":"` + realm + `"}`,
		"an empty sub":          `{"format":"iss_sub","iss":"` + realm + `","sub":""}`,
		"a null sub":            `{"format":"iss_sub","iss":"` + realm + `","sub":null}`,
		"a number":              `{"format":"iss_sub","iss":"` + realm + `","sub":7}`,
		"a user that is a text": `{"format":"complex","user":"alice"}`, "aliases in aliases": `{"format":"aliases","identifiers":[{"format":"aliases","identifiers":[` + alice + `]}]}`,
		"no aliases": `{"format":"aliases","identifiers":[]}`, "a complex alias": `{"format":"aliases","identifiers":[{"format":"complex","user":` + alice + `}]}`,
		"an empty session": `{"format":"complex","user":` + alice + `,"session":{"format":"opaque","id":""}}`,
	} {
		_, err := sharedsignals.Translate(t.Context(), described(), subjectOf(subject), now)
		require.ErrorIs(t, err, sharedsignals.ErrSubject, name)
	}
}

// What is mapped makes a rule that names every member that a rule can name.
func TestSubjectsThatAreMapped(t *testing.T) {
	t.Parallel()
	one := described()
	one.Issuers = map[string]string{realm: "shop"}
	one.Ignore = []string{"device", "tenant"}
	one.Lookup = func(_ context.Context, format string, id map[string]string) (string, string, error) {
		switch {
		case format == "email" && id["email"] == "alice@example.com":
			return "shop", "alice", nil
		case format == "email" && id["email"] == "eve@example.com":
			return "bank", "alice", nil
		case format == "email" && id["email"] == "down@example.com":
			return "", "", errors.New("down")
		case format == "email" && id["email"] == "panic@example.com":
			panic("lookup")
		}
		return "", "", nil
	}
	email := func(name string) string { return `{"format":"email","email":"` + name + `@example.com"}` }
	for name, c := range map[string]struct{ subject, sub, sid, jti string }{
		"email":                           {email("alice"), "alice", "", ""},
		"the session of the only one":     {`{"format":"complex","session":` + session + `}`, "", "s1", ""},
		"ignored members":                 {`{"format":"complex","user":` + alice + `,"device":` + session + `,"tenant":` + session + `}`, "alice", "", ""},
		"email and session":               {`{"format":"complex","user":` + email("alice") + `,"session":` + session + `}`, "alice", "s1", ""},
		"a token":                         {`{"format":"jwt_id","iss":"` + realm + `","jti":"t1"}`, "", "", "t1"},
		"aliases of one user":             {`{"format":"aliases","identifiers":[` + email("alice") + `,` + alice + `,{"format":"did","url":"did:x:y"}]}`, "alice", "", ""},
		"a null member says nothing":      {`{"format":"complex","user":` + alice + `,"group":null}`, "alice", "", ""},
		"members that are not in the RFC": {`{"format":"iss_sub","iss":"` + realm + `","sub":"alice","name":"A"}`, "alice", "", ""},
	} {
		f := translate(t, one, subjectOf(c.subject))
		require.Empty(t, f.Outcome, name)
		require.Len(t, f.Rules, 1, name)
		r := f.Rules[0]
		require.Equal(t, []string{"shop", c.sub, c.sid, c.jti}, []string{r.Provider, r.Subject, r.SessionID, r.TokenID}, name)
		require.Equal(t, c.jti != "", r.IssuedBefore.IsZero(), name)
	}
	require.Equal(t, "provider_not_allowed", translate(t, one, subjectOf(email("eve"))).Outcome)
	require.Equal(t, "subject_not_mapped", translate(t, one, subjectOf(email("bob"))).Outcome)
	for _, who := range []string{"down", "panic"} {
		_, err := sharedsignals.Translate(t.Context(), one, subjectOf(email(who)), now)
		require.ErrorIs(t, err, sharedsignals.ErrLookup, "cannot tell is not 'no such user'")
	}
}

// A subject in both places must be the same.
func TestTwoSubjectsMustBeTheSame(t *testing.T) {
	t.Parallel()
	both := func(inner string) string {
		return strings.Replace(subjectOf(alice), `session-revoked":{}`, `session-revoked":{"subject":`+inner+`}`, 1)
	}
	require.Len(t, translate(t, described(), both(alice)).Rules, 1)
	_, err := sharedsignals.Translate(t.Context(), described(), both(bob), now)
	require.ErrorIs(t, err, sharedsignals.ErrSubject)
}

// Events that take nothing away make no rule, and neither do events that are not known or that the configuration ignores.
func TestEventsThatMakeNoRule(t *testing.T) {
	t.Parallel()
	about := func(event, members string) string {
		return fmt.Sprintf(`{"jti":"j","iss":%q,"iat":1767322800,"sub_id":%s,"events":{%q:{%s}}}`, realm, alice, event, members)
	}
	const caep, risc = "https://schemas.openid.net/secevent/caep/event-type/", "https://schemas.openid.net/secevent/risc/event-type/"
	for _, c := range []struct{ event, members, outcome string }{
		{risc + "account-enabled", ``, "no_rule"},
		{caep + "credential-change", `"change_type":"create"`, "no_rule"},
		{caep + "credential-change", `"change_type":"delete"`, ""},
		{caep + "credential-change", ``, ""},
		{caep + "assurance-level-change", `"change_direction":"increase"`, "no_rule"},
		{caep + "assurance-level-change", `"change_direction":"decrease"`, ""},
		{caep + "assurance-level-change", `"current_level":"nist-aal1"`, ""},
		{caep + "device-compliance-change", `"current_status":"compliant"`, "no_rule"},
		{caep + "device-compliance-change", `"current_status":"not-compliant"`, ""},
		{caep + "token-claims-change", `"claims":{"role":"user"}`, ""},
		{risc + "sessions-revoked", ``, ""},
		{risc + "account-purged", ``, ""},
		{risc + "credential-compromise", `"credential_type":"password"`, ""},
		{risc + "identifier-changed", `"new-value":"x"`, ""},
		{caep + "session-established", ``, "no_rule"},
		{"https://example.com/event", ``, "unknown_event"},
		{caep + "session-revoked/", ``, "unknown_event"},
	} {
		f := translate(t, described(), about(c.event, c.members))
		require.Equal(t, c.outcome, f.Outcome, c.event+" "+c.members)
		require.Equal(t, c.outcome == "", len(f.Rules) == 1)
	}
	ignoring := described()
	ignoring.Ignore = []string{"token-claims-change"}
	require.Equal(t, "ignored", translate(t, ignoring, about(caep+"token-claims-change", ``)).Outcome)
	require.Equal(t, "subject_not_mapped", translate(t, described(), googleTokens).Outcome)
	require.Equal(t, "no_rule", translate(t, described(), googleVerification).Outcome)
	many := `{"jti":"j","iss":"i","iat":1767322800,"events":{` + strings.Repeat(`"x%d":{},`, 9) + `"y":{}}}`
	for _, payload := range []string{
		`{"jti":"j","iss":"i","iat":1767322800,"events":{}}`, `{"jti":"j","iss":"i","iat":1767322800,"events":{"x":null}}`,
		fmt.Sprintf(many, 1, 2, 3, 4, 5, 6, 7, 8, 9), strings.Replace(logoutBoth, `logout":{}`, `logout":{},"x":{},"`+caep+`session-revoked":{}`, 1),
	} {
		_, err := sharedsignals.Translate(t.Context(), described(), payload, now)
		require.ErrorIs(t, err, sharedsignals.ErrEvent, payload)
	}
}

// No time of an event locks out tokens of the future, and none is that of receipt.
func TestTimesOfEvents(t *testing.T) {
	t.Parallel()
	at := func(text string) string {
		return strings.Replace(subjectOf(alice), `session-revoked":{}`, `session-revoked":{"event_timestamp":`+text+`}`, 1)
	}
	for text, c := range map[string]struct {
		outcome string
		before  int64 // milliseconds
	}{
		"1767322790":    {"", 1767322791000},
		"1767322790.5":  {"", 1767322791500},
		"1767322790500": {"", 1767322791500},
		"1767323100":    {"", 1767322806000}, // 295 s ahead: the clock of the transmitter
		"1767323106":    {"future", 0},
		"4767322790":    {"future", 0},
		"1767236000":    {"ended", 0},
		"0":             {"ended", 0},
	} {
		f := translate(t, described(), at(text))
		require.Equal(t, c.outcome, f.Outcome, text)
		if c.outcome == "" {
			require.Equal(t, c.before, f.Rules[0].IssuedBefore.UnixMilli(), text)
		}
	}
	for _, text := range []string{`"1767322790"`, `-1`, `1e300`, `true`, `[1]`, `9e15`} {
		_, err := sharedsignals.Translate(t.Context(), described(), at(text), now)
		require.ErrorIs(t, err, sharedsignals.ErrEvent, text)
	}
}

// The tag of a rule depends on nothing but the iss and the jti of its token.
func TestTagsAreThoseOfTokens(t *testing.T) {
	t.Parallel()
	tag := func(payload string) any { return translate(t, described(), payload).Rules[0].Tag }
	require.Equal(t, tag(subjectOf(alice)), tag(subjectOf(bob)))
	other := strings.Replace(subjectOf(alice), `"jti":"j"`, `"jti":"k"`, 1)
	require.NotEqual(t, tag(subjectOf(alice)), tag(other))
	require.NotEqual(t, tag(keycloakSession), tag(strings.Replace(keycloakSession, `"jti":"7f4c"`, `"jti":"7f4"`, 1)))
}

// FuzzTranslate looks for a panic, and for a rule that names nobody or that reaches into the future.
func FuzzTranslate(f *testing.F) {
	for _, seed := range []string{
		keycloakSession, keycloakLegacy, keycloakCredential, keycloakDisabled, googleRevoked, googleTokens, millis, logoutBoth,
		subjectOf(`{"format":"aliases","identifiers":[` + alice + `]}`),
	} {
		f.Add(seed)
	}
	d := described()
	f.Fuzz(func(t *testing.T, payload string) {
		found, err := sharedsignals.Translate(t.Context(), d, payload, now)
		if err != nil {
			return
		}
		for _, one := range found {
			for _, r := range one.Rules {
				named := r.Subject != "" || r.SessionID != "" || r.TokenID != ""
				known := r.Provider == "shop" || r.Provider == "google"
				if !named || !known || r.SessionID == "ALL" || r.IssuedBefore.After(now.Add(time.Second)) ||
					r.IssuedBefore.IsZero() != (r.TokenID != "") || !r.Ends.After(now) || r.Ends.After(now.Add(25*time.Hour)) {
					t.Fatalf("%+v of %s", r, payload)
				}
			}
		}
	})
}
