package failover

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/regionjwt/regionjwt/internal/control"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// Bounds of a document.
const (
	formatVersion = 1
	maxDocument   = 64 << 10 // bytes
	maxNote       = 256      // bytes
	idLength      = 43       // of a pin
)

// document is what a store holds.
type document struct {
	Version   int               `json:"version"`
	Provider  string            `json:"provider"`
	Epoch     uint64            `json:"epoch"`
	Heads     []*pin            `json:"heads"`
	Ancestors map[string]uint64 `json:"ancestors"`
	Floor     uint64            `json:"floor"`
}

var (
	errDocument = errors.New("the document is not one of pins for this provider")
	errNewer    = fmt.Errorf("pins: %w", replica.ErrNewer)
)

// encode writes a document.
func (c *Controller) encode(h *history) ([]byte, error) {
	return json.Marshal(document{formatVersion, c.provider.ID, h.epoch, h.heads, h.ancestors, h.floor})
}

// decode reads a document strictly. One that names a region which the provider does not have is not one of pins for it.
func (c *Controller) decode(data []byte) (*history, error) {
	if len(data) > maxDocument {
		return nil, errDocument
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDocument, err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := strictjson.Unmarshal(string(data), &head); err == nil && head.Version > formatVersion {
		return nil, errNewer
	}
	if !only(members, "version", "provider", "epoch", "heads", "ancestors", "floor") {
		return nil, errDocument
	}
	for v := range strictjson.Find(members, "heads").Elements() {
		if v.Kind() != strictjson.Object ||
			!only(slices.Collect(v.Members()), "parents", "n", "provider", "region", "pinned", "note", "at", "expires") {
			return nil, errDocument
		}
	}
	var d document
	err = strictjson.Unmarshal(string(data), &d)
	if err == nil && d.Provider != c.provider.ID && d.Provider != "" && checkNote(d.Provider) == nil {
		return nil, fmt.Errorf("%w: it is for provider %q", errDocument, d.Provider)
	}
	if err != nil || d.Version != formatVersion || d.Provider != c.provider.ID ||
		len(d.Heads) > maxHeads || len(d.Ancestors) > maxAncestors || d.Floor > d.Epoch || (len(d.Heads) == 0) != (d.Epoch == 0) {
		return nil, errDocument
	}
	h := &history{epoch: d.Epoch, ancestors: d.Ancestors, floor: d.Floor}
	for _, p := range d.Heads {
		if p == nil || !c.isSane(p) || p.N > d.Epoch {
			return nil, c.notOne(p)
		}
		h.heads = append(h.heads, p.withID())
	}
	for id, n := range d.Ancestors {
		if len(id) != idLength || n > d.Epoch {
			return nil, errDocument
		}
	}
	h.tidy()
	return h, nil
}

// notOne says why a pin is not one for the provider, if it is for a region of another name.
func (c *Controller) notOne(p *pin) error {
	if p == nil || c.has(p.Region) || p.Region == "" || checkNote(p.Region) != nil {
		return errDocument
	}
	return fmt.Errorf("%w: it names region %q, and the regions here are %s", errDocument, p.Region, c.regions())
}

// only reports whether an object has no members but these.
func only(members []strictjson.Member, names ...string) bool {
	return !slices.ContainsFunc(members, func(m strictjson.Member) bool { return !slices.Contains(names, m.Name) })
}

// isSane reports whether a pin can be one for the provider.
func (c *Controller) isSane(p *pin) bool {
	lasts := p.Expires.Sub(p.At)
	return p.Provider == c.provider.ID && c.has(p.Region) &&
		sane(p.At) && sane(p.Expires) && checkNote(p.Note) == nil &&
		p.N > 0 && len(p.Parents) <= maxHeads && slices.IsSorted(p.Parents) && 0 <= lasts && lasts <= maxPinned
}

// sane reports whether a time can stand in a document, and a later one as well.
func sane(t time.Time) bool { return !t.IsZero() && t.UTC().Year() >= 1 && t.UTC().Year() < 9999 }

// checkNote reports why a note is not one line of text.
func checkNote(s string) error {
	if len(s) > maxNote || !utf8.ValidString(s) {
		return fmt.Errorf("failover: the note is longer than %d bytes, or not UTF-8", maxNote)
	}
	for _, r := range s {
		if control.Character(r) {
			return errors.New("failover: the note contains a control character")
		}
	}
	return nil
}
