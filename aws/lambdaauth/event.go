package lambdaauth

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/verifier"
)

// kind is the kind of an event.
type kind int

const (
	restToken   kind = iota // a REST API, TOKEN
	restRequest             // a REST API, REQUEST; also $connect of a WebSocket API
	http1                   // an HTTP API, payload format 1.0
	http2                   // an HTTP API, payload format 2.0
)

func (k kind) rest() bool { return k == restToken || k == restRequest }

// event is what an authorizer looks at.
type event struct {
	kind          kind
	authorization []string // the values of the header
	identity      []string // the identity sources; nil if there are none, or the event does not tell
}

// payload is an event as API Gateway sends it.
type payload struct {
	Version            string              `json:"version"`
	Type               string              `json:"type"`
	AuthorizationToken string              `json:"authorizationToken"`
	Headers            map[string]string   `json:"headers"`
	MultiValueHeaders  map[string][]string `json:"multiValueHeaders"`
	IdentitySource     any                 `json:"identitySource"` // a string in 1.0, a list in 2.0
	MethodARN          string              `json:"methodArn"`
	RouteARN           string              `json:"routeArn"`
}

func parse(text []byte) (*event, error) {
	var p payload
	if _, err := strictjson.Parse(nil, string(text)); err != nil {
		return nil, fmt.Errorf("%w: %w", errEvent, err)
	}
	if strictjson.Unmarshal(string(text), &p) != nil { // its error may hold a value
		return nil, errEvent
	}
	e := &event{}
	switch {
	case p.Version == "" && p.Type == "TOKEN" && p.MethodARN != "":
		e.kind = restToken
		if p.AuthorizationToken != "" {
			e.authorization = []string{p.AuthorizationToken}
		}
		return e, nil
	case p.Version == "" && p.Type == "REQUEST" && p.MethodARN != "":
		e.kind = restRequest
	case p.Version == "1.0" && p.MethodARN != "":
		e.kind = http1
	case p.Version == "2.0" && p.RouteARN != "":
		e.kind = http2
	default:
		return nil, errEvent
	}
	e.authorization = p.header("Authorization")
	if e.kind == restRequest {
		return e, nil
	}
	switch source := p.IdentitySource.(type) {
	case nil:
	case string: // no token has a comma
		e.identity = strings.Split(source, ",")
	case []any:
		e.identity = []string{}
		for _, one := range source {
			s, _ := one.(string)
			e.identity = append(e.identity, s)
		}
	default:
		return nil, errEvent
	}
	return e, nil
}

// header returns the values of a header, whose name may be written in any way.
func (p *payload) header(name string) (values []string) {
	for n, all := range p.MultiValueHeaders {
		if strings.EqualFold(n, name) {
			values = append(values, all...)
		}
	}
	if len(p.MultiValueHeaders) > 0 {
		return values
	}
	for n, value := range p.Headers {
		if strings.EqualFold(n, name) {
			values = append(values, value)
		}
	}
	return values
}

// policyAnswer is an answer with an IAM policy.
type policyAnswer struct {
	PrincipalID    string         `json:"principalId"`
	PolicyDocument policyDocument `json:"policyDocument"`
	Context        map[string]any `json:"context,omitempty"`
}

type policyDocument struct {
	Version   string
	Statement []statement
}

type statement struct {
	Action   string
	Effect   string
	Resource string
}

// simpleAnswer is an answer of the payload format 2.0.
type simpleAnswer struct {
	IsAuthorized bool           `json:"isAuthorized"`
	Context      map[string]any `json:"context,omitempty"`
}

// encode writes the answer for a good token, or for none.
func (a *Authorizer) encode(e *event, t *verifier.Token) ([]byte, error) {
	values, err := a.context(t)
	if err != nil {
		return nil, err
	}
	if e.kind == http2 && !a.config.IAMPolicies {
		return json.Marshal(simpleAnswer{t != nil, values})
	}
	answer := policyAnswer{
		PrincipalID: "nobody", Context: values,
		// The answer is kept for all methods, so it is the same for all.
		PolicyDocument: policyDocument{"2012-10-17", []statement{{"execute-api:Invoke", "Deny", "*"}}},
	}
	if t != nil {
		answer.PrincipalID, answer.PolicyDocument.Statement[0].Effect = t.Provider()+" "+t.Subject(), "Allow"
	}
	return json.Marshal(answer)
}

// context returns what the integrations get.
func (a *Authorizer) context(t *verifier.Token) (map[string]any, error) {
	if t == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	if a.config.Context == nil {
		return map[string]any{
			"provider": t.Provider(), "subject": t.Subject(), "client_id": t.ClientID(), "issuer": t.Issuer(),
			"region": t.Region(),
		}, nil
	}
	values := a.config.Context(t)
	for name, v := range values {
		switch v.(type) {
		case string, bool, int, int64, float64, json.Number:
		default:
			return nil, fmt.Errorf("lambdaauth: Config.Context: %q is no string, number or bool", name)
		}
	}
	return values, nil
}
