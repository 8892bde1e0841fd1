package sharedsignals

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// target is whom or what a rule is about.
type target struct{ provider, subject, session, token string }

// Why an event leads to no rule.
var (
	errSubject    = errors.New("the subject is malformed")    // so the token is
	errNotMapped  = errors.New("the subject is not mapped")   // no rule can name it
	errNotAllowed = errors.New("the provider is not allowed") // the transmitter does not speak for it
)

// allSessions is a session ID that means that no session is named.
const allSessions = "ALL"

const lookupTime = 2 * time.Second // for Lookup

// required are the members of each format of a subject (RFC 9493 section 3.2, SSF 1.0 section 3.4). All are texts.
var required = map[string][]string{
	"iss_sub": {"iss", "sub"}, "email": {"email"}, "opaque": {"id"}, "account": {"uri"}, "phone_number": {"phone_number"},
	"did": {"url"}, "uri": {"uri"}, "jwt_id": {"iss", "jti"}, "saml_assertion_id": {"issuer", "assertion_id"},
	"id_token_claims": {"iss", "sub"},
}

// members are those of a complex subject (SSF 1.0 section 3.2).
var complexMembers = []string{"user", "device", "session", "application", "tenant", "org_unit", "group"}

// formatOf returns the format of a subject. Earlier drafts call it subject_type, and write "-" for "_". One without it whose
// members are subjects is a complex one.
func formatOf(subject strictjson.Value) string {
	if f := member(subject, "format"); f.Kind() != strictjson.Absent {
		return f.Text()
	}
	if f := member(subject, "subject_type"); f.Kind() != strictjson.Absent {
		switch name := strings.ReplaceAll(f.Text(), "-", "_"); name {
		case "phone":
			return "phone_number"
		default:
			return name
		}
	}
	for _, name := range complexMembers {
		if member(subject, name).Kind() == strictjson.Object {
			return "complex"
		}
	}
	return ""
}

// mapping maps the subjects of one transmitter.
type mapping struct {
	issuers   map[string]string // of subjects, to providers
	providers []string          // that the transmitter speaks for
	ignore    []string
	lookup    func(ctx context.Context, format string, identifier map[string]string) (provider, subject string, err error)
}

// targets returns what the rules for a subject name: more than one if the subject has aliases at several providers.
func (m *mapping) targets(ctx context.Context, subject strictjson.Value) ([]target, error) {
	if subject.Kind() != strictjson.Object {
		return nil, errSubject
	}
	switch format := formatOf(subject); format {
	case "":
		return nil, errSubject
	case "complex":
		t, err := m.complex(ctx, subject)
		return []target{t}, err
	case "aliases":
		return m.aliases(ctx, subject)
	default:
		t, err := m.simple(ctx, format, subject)
		return []target{t}, err
	}
}

// simple maps a subject of one identifier.
func (m *mapping) simple(ctx context.Context, format string, subject strictjson.Value) (target, error) {
	names, known := required[format]
	identifier := map[string]string{}
	for _, name := range names {
		if identifier[name] = member(subject, name).Text(); identifier[name] == "" {
			return target{}, errSubject
		}
	}
	if !known {
		return target{}, errNotMapped
	}
	provider := m.issuers[identifier["iss"]]
	switch format {
	case "iss_sub", "id_token_claims":
		if provider != "" {
			return target{provider: provider, subject: identifier["sub"]}, nil
		}
	case "jwt_id":
		if provider == "" {
			return target{}, errNotAllowed
		}
		return target{provider: provider, token: identifier["jti"]}, nil
	}
	t, err := m.ask(ctx, format, identifier)
	if errors.Is(err, errNotMapped) && format == "iss_sub" {
		return t, errNotAllowed
	}
	return t, err
}

// ask asks Lookup.
func (m *mapping) ask(ctx context.Context, format string, identifier map[string]string) (t target, err error) {
	if m.lookup == nil {
		return target{}, errNotMapped
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	if p := guard.Call("Transmitter.Lookup", func() {
		t.provider, t.subject, err = m.lookup(ctx, format, identifier)
		err = guard.Sound("the error of Transmitter.Lookup", err)
	}); p != nil {
		err = p
	}
	switch {
	case err != nil:
		return target{}, errors.Join(errLookup, err)
	case t.provider == "" || t.subject == "":
		return target{}, errNotMapped
	case !slices.Contains(m.providers, t.provider):
		return target{}, errNotAllowed
	}
	return t, nil
}

// errLookup says that it could not be found out whom a subject means.
var errLookup = errors.New("the subject could not be looked up")

// complex maps a complex subject. All of its members describe one principal, so a rule must name each, or match more than is
// meant. A member that no rule can name makes it impossible, unless it is ignored.
func (m *mapping) complex(ctx context.Context, subject strictjson.Value) (t target, err error) {
	var session strictjson.Value
	for one := range subject.Members() {
		switch {
		case one.Name == "format" || one.Name == "subject_type" || one.Value.Kind() == strictjson.Null:
		case one.Value.Kind() != strictjson.Object:
			return target{}, errSubject
		case one.Name == "user":
			if t, err = m.simple(ctx, formatOf(one.Value), one.Value); err != nil {
				return target{}, err
			}
		case one.Name == "session":
			session = one.Value
		case !slices.Contains(m.ignore, one.Name):
			return target{}, errNotMapped
		}
	}
	if session.Kind() == strictjson.Object {
		if err := m.addSession(&t, session); err != nil {
			return target{}, err
		}
	}
	if t.subject == "" && t.session == "" && t.token == "" {
		return target{}, errNotMapped
	}
	return t, nil
}

// addSession adds the session of a complex subject, which is one of the user's provider, or of the only one.
func (m *mapping) addSession(t *target, session strictjson.Value) error {
	id := member(session, "id").Text()
	switch {
	case formatOf(session) == "":
		return errSubject
	case formatOf(session) != "opaque":
		return errNotMapped
	case id == "":
		return errSubject
	case id == allSessions:
		return nil
	case t.provider == "" && len(m.providers) > 1:
		return errNotMapped
	case t.provider == "":
		t.provider = m.providers[0]
	}
	t.session = id
	return nil
}

const maxAliases = 16

// aliases maps the identifiers of one principal. One that can be mapped is enough, but two that name different users of one
// provider mean that something is wrong.
func (m *mapping) aliases(ctx context.Context, subject strictjson.Value) (all []target, err error) {
	list := member(subject, "identifiers")
	if list.Kind() != strictjson.Array {
		return nil, errSubject
	}
	n := 0
	reason := errNotMapped
	for v := range list.Elements() {
		if n++; n > maxAliases || v.Kind() != strictjson.Object {
			return nil, errSubject
		}
		format := formatOf(v)
		if format == "aliases" || format == "complex" || format == "" {
			return nil, errSubject
		}
		t, err := m.simple(ctx, format, v)
		switch {
		case errors.Is(err, errNotMapped):
			continue
		case errors.Is(err, errNotAllowed):
			reason = err
			continue
		case err != nil:
			return nil, err
		}
		if slices.ContainsFunc(all, func(o target) bool { return o.provider == t.provider && o.subject != t.subject }) {
			return nil, errNotMapped
		}
		if !slices.Contains(all, t) {
			all = append(all, t)
		}
	}
	if n == 0 {
		return nil, errSubject
	}
	if len(all) == 0 {
		return nil, reason
	}
	return all, nil
}
