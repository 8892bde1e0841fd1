// Package conformance reads the corpus in the directory conformance at the root of the repository, and builds its tokens.
package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Corpus is all cases and stories.
type Corpus struct {
	Version string
	Cases   []*Case
	Stories []*Story

	sets map[string]Text
	keys map[string]*key
}

// Policy is what a verifier is set up with.
type Policy struct {
	Issuers    []Issuer `json:"issuers"`
	Audience   []string `json:"audience,omitempty"`
	Algorithms []string `json:"algorithms"`
	Types      []string `json:"types,omitempty"`   // of typ; what a verifier accepts by default if it is empty
	Leeway     int      `json:"leeway,omitempty"`  // in seconds
	Profile    string   `json:"profile,omitempty"` // the kind of token, if it is not a plain access token
	Scopes     []string `json:"scopes,omitempty"`  // each of which a token must have
	Revoked    []string `json:"revoked,omitempty"` // values of jti
}

// Issuer is a value of iss and the keys that its tokens are verified with.
type Issuer struct {
	Issuer   string   `json:"issuer"`
	Keys     string   `json:"keys"`             // a set in keys/sets.json, or a server of a story
	Region   string   `json:"region,omitempty"` // a label
	Audience []string `json:"audience,omitempty"`
}

// Case is one token and what must become of it.
type Case struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Reference string   `json:"reference"`
	Policy    Policy   `json:"policy"`
	Token     Token    `json:"token"`
	Clock     int64    `json:"clock,omitempty"` // the time at which it must be judged, in Unix seconds; the present if it is 0
	Needs     []string `json:"needs,omitempty"` // features without which the case does not apply
	Expect    string   `json:"expect"`          // accept, reject, or either
	Because   string   `json:"because,omitempty"`
}

// Values of Case.Expect and Present.Expect.
const (
	Accept      = "accept"
	Reject      = "reject"
	Either      = "either"
	Invalid     = "invalid"
	Unavailable = "unavailable"
)

// Text is bytes: a string, or parts, some of which are repeated or not UTF-8.
type Text []TextPart

// TextPart is a part of a Text.
type TextPart struct {
	Text   string `json:"text,omitempty"`
	Base64 []byte `json:"base64,omitempty"`
	Repeat int    `json:"repeat,omitempty"` // 0 is once
}

// UnmarshalJSON reads a string, or an array of parts.
func (t *Text) UnmarshalJSON(doc []byte) error {
	if len(doc) > 0 && doc[0] == '"' {
		*t = Text{{}}
		return json.Unmarshal(doc, &(*t)[0].Text)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	return d.Decode((*[]TextPart)(t))
}

// Bytes returns the bytes.
func (t Text) Bytes() []byte {
	var all []byte
	for piece := range t.Pieces() {
		all = append(all, piece...)
	}
	return all
}

// Pieces yields the bytes piece by piece: what is repeated may be too much for the memory.
func (t Text) Pieces() iter.Seq[[]byte] {
	const size = 64 << 10
	return func(yield func([]byte) bool) {
		for _, p := range t {
			part := p.Base64
			if p.Text != "" {
				part = []byte(p.Text)
			}
			left := max(1, p.Repeat)
			for many := max(1, size/max(1, len(part))); left > 0; {
				n := min(many, left)
				if !yield(bytes.Repeat(part, n)) {
					return
				}
				left -= n
			}
		}
	}
}

var (
	errTwice   = errors.New("is there twice")
	errUnknown = errors.New("is not in the corpus")
)

// Load reads the corpus in a directory. A member that is not known is an error.
func Load(dir string) (*Corpus, error) {
	version, err := os.ReadFile(filepath.Join(dir, "VERSION")) //nolint:gosec // the corpus is where the caller says
	if err != nil {
		return nil, err
	}
	c := &Corpus{Version: strings.TrimSpace(string(version))}
	var sets struct {
		Schema string          `json:"$schema"`
		Sets   map[string]Text `json:"sets"`
	}
	if err := read(filepath.Join(dir, "keys", "sets.json"), &sets); err != nil {
		return nil, err
	}
	c.sets = sets.Sets
	if err := c.readKeys(filepath.Join(dir, "keys", "private.json")); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	unique := func(file, id string) error {
		if seen[id] {
			return fmt.Errorf("%s: %s %w", file, id, errTwice)
		}
		seen[id] = true
		return nil
	}
	err = each(filepath.Join(dir, "cases"), func(file string) error {
		var f struct {
			Schema string  `json:"$schema"`
			Cases  []*Case `json:"cases"`
		}
		err := read(file, &f)
		for _, k := range f.Cases {
			err = errors.Join(err, unique(file, k.ID), c.knowsCase(k))
		}
		c.Cases = append(c.Cases, f.Cases...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, each(filepath.Join(dir, "stories"), func(file string) error {
		var f struct {
			Schema  string   `json:"$schema"`
			Stories []*Story `json:"stories"`
		}
		err := read(file, &f)
		for _, s := range f.Stories {
			err = errors.Join(err, unique(file, s.ID), c.knowsStory(s))
		}
		c.Stories = append(c.Stories, f.Stories...)
		return err
	})
}

func each(dir string, f func(file string) error) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, file := range files {
		if err := f(file); err != nil {
			return err
		}
	}
	return nil
}

func read(file string, into any) error {
	doc, err := os.ReadFile(file) //nolint:gosec // the corpus is where the caller says
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// knowsCase reports names in a case that are not in the corpus.
func (c *Corpus) knowsCase(k *Case) error {
	for _, i := range k.Policy.Issuers {
		if _, ok := c.sets[i.Keys]; !ok {
			return fmt.Errorf("%s: key set %q %w", k.ID, i.Keys, errUnknown)
		}
	}
	if s := k.Token.Sign; s != nil && s.Key != "" && c.keys[s.Key] == nil {
		return fmt.Errorf("%s: key %q %w", k.ID, s.Key, errUnknown)
	}
	return nil
}

// Set returns a key set.
func (c *Corpus) Set(name string) []byte { return c.sets[name].Bytes() }

// Sets returns the names of all key sets.
func (c *Corpus) Sets() []string {
	names := make([]string, 0, len(c.sets))
	for name := range c.sets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
