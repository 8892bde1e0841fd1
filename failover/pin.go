package failover

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/regionjwt/regionjwt/internal/strictjson"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// Bounds of a document.
const (
	formatVersion = 1
	maxDocument   = 16 << 10 // bytes
	maxNote       = 256      // bytes
	maxPinsAhead  = 1 << 32  // that the epoch of a document may be ahead of the known one
)

// pin is what an operator last decided: that a region is pinned, or that none is any more. The later of two applies, so that an
// old document that is put back changes nothing, and a store that lost its document loses no pin. It is immutable.
type pin struct {
	Region string               `json:"region"`
	Pinned bool                 `json:"pinned"`
	At     time.Time            `json:"at"`
	Epoch  uint64               `json:"epoch"`
	Note   string               `json:"note"`
	Left   map[string]time.Time `json:"left"` // when a region stopped being active by a pin
}

// later reports whether p replaces old.
func (p *pin) later(old *pin) bool {
	if !p.At.Equal(old.At) {
		return p.At.After(old.At)
	}
	return p.Epoch > old.Epoch
}

// next returns a pin that replaces p, whatever the clocks say, with an epoch above least.
func (p *pin) next(active string, r request, now time.Time, least uint64) pin {
	region := r.region
	if region == "" {
		region = active
	}
	at := now.UTC().Round(0)
	if !at.After(p.At) {
		at = p.At.Add(time.Nanosecond)
	}
	n := pin{
		Region: region, Pinned: r.region != "", At: at, Epoch: max(p.Epoch, least) + 1, Note: r.note, Left: maps.Clone(p.Left),
	}
	if n.Left == nil {
		n.Left = map[string]time.Time{}
	}
	if active != region {
		n.Left[active] = at
	}
	delete(n.Left, region)
	return n
}

// document is what a store holds.
type document struct {
	Version  int    `json:"version"`
	Provider string `json:"provider"`
	pin
	// Fleet and Keys are the scope under which a local copy was accepted; a document in a store has none.
	Fleet string   `json:"fleet,omitempty"`
	Keys  []string `json:"keys,omitempty"`
}

var (
	errDocument = errors.New("failover: the document is not a pin for this provider")
	errNewer    = errors.New("failover: the document is of a newer version")
	errFar      = fmt.Errorf("failover: its epoch is too far ahead: %w", store.ErrNotAuthentic)
)

// encode writes a pin under a scope, which is zero for the store.
func (c *Controller) encode(p pin, scope trust.Scope) ([]byte, error) {
	return json.Marshal(document{formatVersion, c.provider.ID, p, scope.Fleet, scope.Keys})
}

// decode reads a document of the store.
func (c *Controller) decode(data []byte) (pin, error) {
	d, err := c.read(data)
	if err == nil && (d.Fleet != "" || len(d.Keys) > 0) {
		err = fmt.Errorf("%w: it is a local copy", errDocument)
	}
	if err != nil {
		return pin{}, err
	}
	return d.pin, nil
}

// decodeCopy reads a local copy. It rejects one of another fleet, and one that was made while a key was configured that is no
// longer.
func (c *Controller) decodeCopy(data []byte) (pin, error) {
	d, err := c.read(data)
	if err != nil {
		return pin{}, err
	}
	ours, err := c.scope()
	if err != nil {
		return pin{}, err
	}
	theirs := trust.Scope{Fleet: d.Fleet, Keys: d.Keys}
	switch {
	case theirs.Fleet != ours.Fleet:
		return pin{}, fmt.Errorf("%w: it was made in the fleet %q, and this is %q", errDocument, theirs.Fleet, ours.Fleet)
	case !ours.Covers(theirs):
		return pin{}, fmt.Errorf("%w: it was made while other keys were configured", errDocument)
	}
	return d.pin, nil
}

// isFar reports whether there cannot have been so many pins, after the known one.
func (c *Controller) isFar(epoch uint64) bool {
	known := max(c.snapshot.Load().status.Replica.Epoch, c.config.Replica.MinEpoch)
	return epoch > known && epoch-known > maxPinsAhead
}

// read reads a document strictly. A document that names a region which the provider does not have is not a pin for it.
func (c *Controller) read(data []byte) (document, error) {
	if len(data) > maxDocument {
		return document{}, errDocument
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return document{}, fmt.Errorf("%w: %w", errDocument, err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := strictjson.Unmarshal(string(data), &head); err == nil && head.Version > formatVersion {
		return document{}, errNewer
	}
	for _, m := range members {
		switch m.Name {
		case "version", "provider", "region", "pinned", "at", "epoch", "note", "left", "fleet", "keys":
		default:
			return document{}, errDocument
		}
	}
	var d document
	if err := strictjson.Unmarshal(string(data), &d); err != nil || head.Version != formatVersion ||
		d.Provider != c.provider.ID || !sane(d.At) || checkNote(d.Note) != nil {
		return document{}, errDocument
	}
	for name, at := range d.Left {
		if c.region(name) == nil || !sane(at) {
			return document{}, errDocument
		}
	}
	if c.region(d.Region) == nil {
		return document{}, errDocument
	}
	if c.isFar(d.Epoch) {
		return document{}, errFar
	}
	return d, nil
}

// sane reports whether a time can stand in a document, and a later one as well.
func sane(t time.Time) bool { return !t.IsZero() && t.UTC().Year() >= 1 && t.UTC().Year() < 9999 }

// checkNote reports why a note is not one line of text.
func checkNote(s string) error {
	if len(s) > maxNote || !utf8.ValidString(s) {
		return fmt.Errorf("failover: the note is longer than %d bytes, or not UTF-8", maxNote)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return errors.New("failover: the note contains a control character")
		}
	}
	return nil
}
