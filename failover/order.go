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
	"github.com/regionjwt/regionjwt/store"
)

// Bounds of a document.
const (
	formatVersion  = 1
	maxDocument    = 16 << 10 // octets
	maxReason      = 256      // octets
	maxOrdersAhead = 1 << 32  // orders that a document may count more than are known
)

// order is what an operator said last. The later of two counts, so that an old document, put back, undoes nothing, and a store
// that was wiped forgets nothing. It is immutable.
type order struct {
	Region string               `json:"region"`
	Pinned bool                 `json:"pinned"`
	At     time.Time            `json:"at"`
	Epoch  uint64               `json:"epoch"`
	Reason string               `json:"reason"`
	Left   map[string]time.Time `json:"left"` // when a region ceased to be active by an order
}

// later reports whether o counts against old.
func (o *order) later(old *order) bool {
	if !o.At.Equal(old.At) {
		return o.At.After(old.At)
	}
	return o.Epoch > old.Epoch
}

// next makes an order that counts against o, whatever the clocks say.
func (o *order) next(active, region string, pinned bool, reason string, now time.Time) order {
	at := now.UTC().Round(0)
	if !at.After(o.At) {
		at = o.At.Add(time.Nanosecond)
	}
	n := order{Region: region, Pinned: pinned, At: at, Epoch: o.Epoch + 1, Reason: reason, Left: maps.Clone(o.Left)}
	if n.Left == nil {
		n.Left = map[string]time.Time{}
	}
	if active != region {
		n.Left[active] = at
	}
	delete(n.Left, region)
	return n
}

// document is what stands in a store.
type document struct {
	Version   int    `json:"version"`
	Authority string `json:"authority"`
	order
	// Fleet and Keys are the scope under which a local copy was believed; a document in a store has none.
	Fleet string   `json:"fleet,omitempty"`
	Keys  []string `json:"keys,omitempty"`
}

var (
	errDocument = errors.New("failover: the document is not an order for this authority")
	errNewer    = errors.New("failover: the document is of a newer version")
	errFar      = fmt.Errorf("failover: it counts more orders than can be true: %w", store.ErrNotAuthentic)
)

// encode writes an order under a scope, which is zero for the store.
func (c *Controller) encode(o order, scope store.Scope) ([]byte, error) {
	return json.Marshal(document{formatVersion, c.config.Authority.ID, o, scope.Fleet, scope.Keys})
}

// decode reads a document of the store.
func (c *Controller) decode(data []byte) (order, error) {
	d, err := c.read(data)
	if err == nil && (d.Fleet != "" || len(d.Keys) > 0) {
		err = fmt.Errorf("%w: it is a local copy", errDocument)
	}
	if err != nil {
		return order{}, err
	}
	return d.order, nil
}

// decodeCopy reads a local copy. One that was made under another fleet, or by keys of which one was given up since, is of no use.
func (c *Controller) decodeCopy(data []byte) (order, error) {
	d, err := c.read(data)
	if err != nil {
		return order{}, err
	}
	ours, err := c.scope()
	if err != nil {
		return order{}, err
	}
	theirs := store.Scope{Fleet: d.Fleet, Keys: d.Keys}
	switch {
	case theirs.Fleet != ours.Fleet:
		return order{}, fmt.Errorf("%w: it was made in the fleet %q, and this is %q", errDocument, theirs.Fleet, ours.Fleet)
	case !ours.Covers(theirs):
		return order{}, fmt.Errorf("%w: it was made when other keys were believed", errDocument)
	}
	return d.order, nil
}

// isFar reports whether nobody can have given so many orders, from what is known.
func (c *Controller) isFar(epoch uint64) bool {
	known := c.snapshot.Load().OrderEpoch
	return epoch > known && epoch-known > maxOrdersAhead
}

// read reads a document strictly. A region that the authority does not have makes it no order for it.
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
		case "version", "authority", "region", "pinned", "at", "epoch", "reason", "left", "fleet", "keys":
		default:
			return document{}, errDocument
		}
	}
	var d document
	if err := strictjson.Unmarshal(string(data), &d); err != nil || head.Version != formatVersion ||
		d.Authority != c.config.Authority.ID || !sane(d.At) || checkReason(d.Reason) != nil {
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

// checkReason judges what an operator says of an order: one line of text.
func checkReason(s string) error {
	if len(s) > maxReason || !utf8.ValidString(s) {
		return fmt.Errorf("failover: the reason is longer than %d octets, or not UTF-8", maxReason)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return errors.New("failover: the reason holds a control character")
		}
	}
	return nil
}
