package statuspage

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/revocation"
)

// rulesDocument is the answer of /rules.json.
type rulesDocument struct {
	Rules []listedRule `json:"rules"`
}

type listedRule struct {
	ID      string          `json:"id"`
	Created time.Time       `json:"created"`
	Rule    revocation.Rule `json:"rule"`
	Signals string          `json:"signals,omitempty"` // the name of the document of security events that has it
}

// serveRules writes the rules in effect. One request makes the answer, while the others wait for it.
func (p *page) serveRules(w http.ResponseWriter, r *http.Request) {
	made, _, _ := p.calls.Do("rules", func() (any, error) {
		d := rulesDocument{Rules: []listedRule{}}
		for _, rule := range p.rules() {
			one := listedRule{ID: rule.ID(), Created: rule.Created, Signals: rule.Signals}
			rule.Created = time.Time{}
			one.Rule = rule
			d.Rules = append(d.Rules, one)
		}
		body, err := json.Marshal(d)
		return append(body, '\n'), err
	})
	body, _ := made.([]byte) // it cannot fail: texts and times of a document
	answer(w, r, http.StatusOK, applicationJSON, body)
}
