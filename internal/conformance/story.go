package conformance

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Story is a sequence of events: what key servers answer, which tokens are presented, and which answer is right.
type Story struct {
	ID        string            `json:"id"`
	Title     string            `json:"title"`
	Reference string            `json:"reference"`
	Policy    Policy            `json:"policy"`
	Refresh   int               `json:"refresh,omitempty"` // seconds between refreshes, where a verifier can be told
	Servers   map[string]Server `json:"servers"`
	Needs     []string          `json:"needs,omitempty"`
	Steps     []Step            `json:"steps"`
}

// Server is what a key server answers: one answer after the other, and the last one from then on.
type Server struct {
	Answers []Answer `json:"answers"`
	Cycle   bool     `json:"cycle,omitempty"` // from the first again, after the last
}

// Answer is one answer of a key server.
type Answer struct {
	Status   int               `json:"status,omitempty"` // 0 is 200
	Headers  map[string]string `json:"headers,omitempty"`
	Keys     []string          `json:"keys,omitempty"` // of keys/private.json; "kid=name" publishes one under another kid
	Set      string            `json:"set,omitempty"`  // of keys/sets.json
	Body     Text              `json:"body,omitempty"`
	Delay    float64           `json:"delay,omitempty"` // seconds until the first byte
	Drip     float64           `json:"drip,omitempty"`  // seconds between bytes
	Hang     bool              `json:"hang,omitempty"`
	Refuse   bool              `json:"refuse,omitempty"`      // the connection is closed without an answer
	If       bool              `json:"conditional,omitempty"` // 304 to a request with the ETag of Headers in If-None-Match
	Redirect string            `json:"redirect,omitempty"`    // {self} and {other} stand for base URLs; nothing may ask {other}
}

// Step is one of its members.
type Step struct {
	Serve    *Serve    `json:"serve,omitempty"`
	Wait     float64   `json:"wait,omitempty"` // seconds
	Present  *Present  `json:"present,omitempty"`
	Requests *Requests `json:"requests,omitempty"`
	Silence  string    `json:"silence,omitempty"`   // a server whose open connections fall silent
	Revoke   string    `json:"revoke,omitempty"`    // a jti
	TurnBack int       `json:"turn_back,omitempty"` // seconds by which the clock goes back
}

// Serve changes what a server answers.
type Serve struct {
	Server string `json:"server"`
	What   Server `json:"what"`
}

// Present presents tokens.
type Present struct {
	Tokens     []Presented `json:"tokens"`
	Expect     string      `json:"expect"`         // accept, invalid, or unavailable
	Also       []string    `json:"also,omitempty"` // answers that are right as well
	Parallel   int         `json:"parallel,omitempty"`
	Background bool        `json:"background,omitempty"` // the story goes on meanwhile
	Within     float64     `json:"within,omitempty"`     // seconds in which all must be answered
	Until      float64     `json:"until,omitempty"`      // seconds in which the answer must become right
}

// Presented is one token, or Count of a kind.
type Presented struct {
	Token    *Token            `json:"token,omitempty"` // instead of what follows
	Issuer   string            `json:"issuer,omitempty"`
	Key      string            `json:"key,omitempty"`
	Kid      string            `json:"kid,omitempty"`      // the name of the key if it is empty
	Lifetime int               `json:"lifetime,omitempty"` // seconds; an hour if it is 0
	Claims   map[string]string `json:"claims,omitempty"`   // more claims, or other values
	Forged   bool              `json:"forged,omitempty"`   // the signature is none
	Count    int               `json:"count,omitempty"`
}

// Requests demands how often a server was asked since the beginning.
type Requests struct {
	Server string  `json:"server"` // "other" is the host that nothing may ask
	Min    int     `json:"min,omitempty"`
	Max    int     `json:"max"`
	Rate   float64 `json:"per_second,omitempty"`    // how many more for each second of the story
	MaxMB  float64 `json:"max_megabytes,omitempty"` // that were read from it
}

var errStep = errors.New("a step is one thing")

func (c *Corpus) knowsStory(s *Story) error {
	for i, step := range s.Steps {
		n := 0
		for _, is := range []bool{
			step.Serve != nil, step.Wait != 0, step.Present != nil, step.Requests != nil, step.Silence != "", step.Revoke != "",
			step.TurnBack != 0,
		} {
			if is {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s, step %d: %w", s.ID, i+1, errStep)
		}
	}
	for _, i := range s.Policy.Issuers {
		if _, ok := s.Servers[i.Keys]; !ok {
			return fmt.Errorf("%s: server %q %w", s.ID, i.Keys, errUnknown)
		}
	}
	return nil
}

// Tokens returns the tokens of a step as of now.
func (c *Corpus) Tokens(s *Story, p *Present, now time.Time) ([]string, error) {
	var all []string
	for _, one := range p.Tokens {
		for range max(1, one.Count) {
			t := one.Token
			if t == nil {
				t = c.plain(s, &one)
			}
			raw, err := c.Build(t, now)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.ID, err)
			}
			all = append(all, raw)
		}
	}
	return all, nil
}

// plain returns how a good token is built, except for what is said of it.
func (c *Corpus) plain(s *Story, p *Presented) *Token {
	k := c.keys[p.Key]
	kid := p.Kid
	if kid == "" {
		kid = p.Key
	}
	iss := p.Issuer
	if iss == "" {
		iss = s.Policy.Issuers[0].Issuer
	}
	lifetime := p.Lifetime
	if lifetime == 0 {
		lifetime = 3600
	}
	claims := map[string]any{"iss": iss, "sub": "alice", "aud": s.Policy.Audience[0], "jti": rand.Text()}
	for name, value := range p.Claims {
		claims[name] = value
	}
	text, _ := json.Marshal(claims) // strings always can
	payload := fmt.Sprintf(`%s,"iat":<now-5>,"exp":<now%+d>}`, text[:len(text)-1], lifetime)
	header, _ := json.Marshal(kid)
	t := &Token{
		Header:  Text{{Text: fmt.Sprintf(`{"alg":%q,"kid":%s}`, k.alg(), header)}},
		Payload: Text{{Text: payload}},
		Sign:    &Sign{Key: p.Key, Alg: k.alg()},
	}
	if p.Forged {
		t.Signature = []string{"flip first bit"}
	}
	return t
}

// Body yields what an answer is, piece by piece.
func (c *Corpus) Body(a *Answer) iter.Seq[[]byte] {
	switch {
	case a.Set != "":
		return c.sets[a.Set].Pieces()
	case a.Keys != nil:
		all := []any{}
		for _, name := range a.Keys {
			kid, key, found := strings.Cut(name, "=")
			if !found {
				key = kid
			}
			all = append(all, c.keys[key].public(kid))
		}
		doc, _ := json.Marshal(map[string]any{"keys": all}) // strings always can
		return slices.Values([][]byte{doc})
	}
	return a.Body.Pieces()
}
