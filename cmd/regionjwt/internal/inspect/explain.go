package inspect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/internal/limit"
	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// Bounds of what is repeated of a token.
const (
	maxValue  = 200 // bytes of a value
	maxValues = 10  // of a list
)

func short(text string) string {
	if len(text) > maxValue {
		text = strings.ToValidUTF8(text[:maxValue], "") + "..."
	}
	return text
}

// show writes a value of a token for people. A text is quoted if it would look like something else.
func show(v strictjson.Value) string {
	switch v.Kind() {
	case strictjson.Absent:
		return "absent"
	case strictjson.String:
		return cli.Quoted(short(v.Text()))
	case strictjson.Null:
		return "null"
	default:
		return short(v.Raw())
	}
}

// named writes several claims with their names.
func (r *report) named(names ...string) string {
	parts := make([]string, 0, len(names))
	for _, name := range names {
		parts = append(parts, name+" "+show(strictjson.Find(r.claims, name)))
	}
	return strings.Join(parts, ", ")
}

// explain says what a check wanted, and what it found.
func (j *judgement) explain(at stage, e *verifier.Error, size int) (wanted, found string) {
	r, now := j.report, time.Now()
	switch at {
	case stageSize:
		return fmt.Sprintf("at most %d bytes", limit.TokenBytes), fmt.Sprintf("%d bytes", size)
	case stageForm:
		return "three parts in base64url, the first two strict JSON", cmp.Or(r.problem, "a part that is not base64url")
	case stageHeader:
		return headerType(e.Detail), e.Detail + " " + show(strictjson.Find(r.header, e.Detail))
	case stageTypes:
		return j.claimType(e.Detail), e.Detail + " " + show(claim(r.claims, e.Detail))
	case stageIssuer:
		return "iss " + list(j.issuers()), r.named("iss")
	case stageAlg:
		return "alg " + list(j.algorithms()), "alg " + show(strictjson.Find(r.header, "alg"))
	case stageTyp:
		return j.explainTyp()
	case stageTime:
		return r.explainTime(labelOf(e), now)
	case stageAudience:
		return j.explainAudience(e)
	case stageKey, stageSignature:
		return j.explainKey(at)
	case stageClaims:
		return j.explainClaims(e, now)
	case stageRules:
		return j.explainRules()
	case stageDone:
	}
	return wanted, found
}

func (j *judgement) issuers() (all []string) {
	if j.file != nil {
		return j.file.Issuers()
	}
	for _, region := range j.policy.Provider.Regions {
		for _, iss := range region.Issuers {
			if !slices.Contains(all, iss) {
				all = append(all, iss)
			}
		}
	}
	return all
}

// algorithms are those that the policy accepts; the defaults are those of verifier.Policy.
func (j *judgement) algorithms() []string {
	switch {
	case len(j.policy.Algorithms) > 0:
		return j.policy.Algorithms
	case j.file != nil:
		return []string{"the default of the policy"}
	case j.flags.cognito():
		return []string{"RS256"}
	}
	return []string{"RS256", "PS256", "ES256", "Ed25519", "EdDSA"}
}

func (j *judgement) explainTyp() (wanted, found string) {
	types := []string(j.flags.types)
	switch {
	case j.file != nil && len(j.policy.Types) > 0:
		types = j.policy.Types
	case j.file != nil:
		types = []string{"the default of the policy"}
	case len(types) == 0:
		types = []string{"none", "JWT", "at+jwt"}
		if strings.Contains(j.flags.kind, "id") {
			types = types[:2]
		}
	}
	wanted, found = "typ "+list(types), "typ "+show(strictjson.Find(j.report.header, "typ"))
	if v := strictjson.Find(j.report.header, "cty"); v.Kind() != strictjson.Absent {
		wanted, found = wanted+", no cty", found+", cty "+show(v)
	}
	return wanted, found
}

func (r *report) explainTime(label string, now time.Time) (wanted, found string) {
	date := func(name string) string {
		if at := dateOf(r.claims, name); at != nil {
			return fmt.Sprintf("%s %s (%s)", name, cli.Stamp(*at), cli.Ago(*at, now))
		}
		return name + " absent"
	}
	if label == "expired" {
		return "exp after " + cli.Stamp(now.Add(-limit.Leeway)) + " (now, less " + limit.Leeway.String() + ")", date("exp")
	}
	wanted = "nbf and iat until " + cli.Stamp(now.Add(limit.Leeway)) + " (now and " + limit.Leeway.String() + ")"
	return wanted, date("nbf") + ", " + date("iat")
}

// explainAudience says for whom the token must have been issued.
func (j *judgement) explainAudience(e *verifier.Error) (wanted, found string) {
	f, r := j.flags, j.report
	switch f.kind {
	case kindFile:
		return e.Detail + " as the audience of the policy for " + j.policy.Provider.ID + " says: " + j.policy.Audience.String(),
			r.named("token_use", "client_id", "aud", "azp")
	case kindCognitoDerived:
		return "token_use access, client_id " + list(f.clients) + ", nothing but " + list(f.audiences) + " in aud",
			r.named("token_use", "client_id", "aud")
	case kindCognitoAccess:
		wanted = "token_use access, client_id " + list(f.clients)
		if len(f.audiences) > 0 {
			return wanted + ", aud absent or one of " + list(f.audiences), r.named("token_use", "client_id", "aud")
		}
		return wanted + ", no aud", r.named("token_use", "client_id", "aud")
	case kindCognitoID:
		return "token_use id, aud " + list(f.clients), r.named("token_use", "aud")
	case kindIDToken:
		wanted = "nothing but " + list(f.clients) + " in aud, one of them in azp if there is one, sub and iat"
		found = r.named("aud", "azp", "sub", "iat")
	default:
		wanted = "aud with one of " + list(f.audiences) + ", no at_hash, c_hash or events"
		parts := []string{r.named("aud")}
		for _, name := range []string{"at_hash", "c_hash", "events"} {
			if v := strictjson.Find(r.claims, name); v.Kind() != strictjson.Absent {
				parts = append(parts, name)
			}
		}
		found = strings.Join(parts, ", ")
	}
	switch e.Detail { // by which Keycloak and Entra mark their tokens
	case "typ":
		return wanted + ", typ of such a token among the claims", found + ", " + r.named("typ")
	case "nonce":
		return wanted + ", no nonce", found + ", " + r.named("nonce")
	}
	return wanted, found
}

// explainKey says which keys there are.
func (j *judgement) explainKey(at stage) (wanted, found string) {
	kid, alg := show(strictjson.Find(j.report.header, "kid")), show(strictjson.Find(j.report.header, "alg"))
	if at == stageSignature {
		var keys []string
		for _, k := range j.keys.found {
			if text := k.Thumbprint(); !slices.Contains(keys, text) {
				keys = append(keys, text)
			}
		}
		return "a signature by the key " + kid + ", thumbprint " + list(keys), "a signature that it has not made"
	}
	var kids, failures []string
	for _, s := range j.report.Keys {
		for _, id := range s.KeyIDs {
			if !slices.Contains(kids, id) {
				kids = append(kids, id)
			}
		}
		if s.Error != "" {
			failures = append(failures, s.Region+": "+s.Error)
		}
	}
	wanted = "a key of the issuer with this kid, for this alg"
	if len(kids) > 0 {
		wanted += "; published are " + list(kids)
	}
	found = "kid " + kid + ", alg " + alg
	if len(failures) > 0 {
		found += "; not known: " + list(failures)
	}
	return wanted, found
}

func (j *judgement) explainClaims(e *verifier.Error, now time.Time) (wanted, found string) {
	switch {
	case e.Detail == detailActor:
		return "act an object with a sub, a text that is not empty, and no more than 4 actors", j.report.named(detailActor)
	case e.Reason == verifier.ReasonTooOld && e.Detail == "exp":
		return "exp at most " + j.policy.MaxLifetime.String() + " after iat", j.report.named("iat", "exp")
	case e.Reason == verifier.ReasonTooOld:
		wanted = "iat after " + cli.Stamp(now.Add(-j.policy.MaxAge-limit.Leeway))
		if at := dateOf(j.report.claims, "iat"); at != nil {
			return wanted, "iat " + cli.Stamp(*at) + " (" + cli.Ago(*at, now) + ")"
		}
		return wanted, "iat absent"
	}
	var missing []string
	required := slices.Clone(j.policy.RequiredClaims)
	if e.Detail != "" && !slices.Contains(required, e.Detail) {
		required = append(required, e.Detail) // --max-age and --max-lifetime need iat
	}
	for _, name := range required {
		if v := claim(j.report.claims, name); v.Kind() == strictjson.Absent || v.Kind() == strictjson.Null {
			missing = append(missing, name+" "+show(v))
		}
	}
	return "the claims " + list(required), list(missing)
}

func (j *judgement) explainRules() (wanted, found string) {
	if j.rules.rule == "" {
		return "rules that are known", "they are not"
	}
	wanted, found = "no rule that matches", "rule "+j.rules.rule
	all := j.rules.list.Rules()
	i := slices.IndexFunc(all, func(r rules.Rule) bool { return r.ID() == j.rules.rule })
	if i < 0 {
		return wanted, found
	}
	found += " of " + cli.Stamp(all[i].Created)
	if note := all[i].Note; note != "" {
		found += ", note " + cli.Quoted(short(note))
	}
	return wanted, found
}

// headerType says what a header parameter must be.
func headerType(name string) string {
	switch name {
	case "zip":
		return "no zip, or zip NONE"
	case "crit", "b64", "enc":
		return "no " + name + ", no extension is understood"
	case "kid":
		return "kid a text of 1 to 256 bytes"
	}
	return name + " a text"
}

// claimType says what a claim must be.
func (j *judgement) claimType(name string) string {
	scopes := j.policy.ScopeClaims
	switch {
	case name == "exp", name == "nbf", name == "iat":
		return name + " a number of seconds since 1970, before the year 10000"
	case name == "events", name == "cnf":
		return name + " an object"
	case name == "aud":
		return name + " a text or an array of texts"
	case slices.Contains(scopes, name), len(scopes) == 0 && (name == "scope" || name == "scp"):
		return name + " a text, or an array of texts without spaces"
	}
	return name + " a text"
}

// claim finds a claim by its name, or by a JSON Pointer (RFC 6901), as a policy names it.
func claim(claims members, name string) strictjson.Value {
	v := strictjson.Find(claims, name)
	if v.Kind() != strictjson.Absent || !strings.HasPrefix(name, "/") {
		return v
	}
	path := strings.Split(name[1:], "/")
	for i, token := range path {
		path[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
	}
	v = strictjson.Find(claims, path[0])
	for _, token := range path[1:] {
		v = child(v, token)
	}
	return v
}

// child finds a member of an object, or an element of an array.
func child(v strictjson.Value, name string) strictjson.Value {
	switch v.Kind() {
	case strictjson.Object:
		for m := range v.Members() {
			if m.Name == name {
				return m.Value
			}
		}
	case strictjson.Array:
		i := 0
		for e := range v.Elements() {
			if strconv.Itoa(i) == name {
				return e
			}
			i++
		}
	default:
	}
	return strictjson.Value{}
}
