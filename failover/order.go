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
)

// Bounds of a document.
const (
	formatVersion = 1
	maxDocument   = 16 << 10 // octets
	maxReason     = 256      // octets
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
}

var (
	errDocument = errors.New("failover: the document is not an order for this authority")
	errNewer    = errors.New("failover: the document is of a newer version")
)

func (c *Controller) encode(o order) ([]byte, error) {
	return json.Marshal(document{formatVersion, c.config.Authority.ID, o})
}

// decode reads a document strictly. A region that the authority does not have makes it no order for it.
func (c *Controller) decode(data []byte) (order, error) {
	if len(data) > maxDocument {
		return order{}, errDocument
	}
	members, err := strictjson.Parse(nil, string(data))
	if err != nil {
		return order{}, fmt.Errorf("%w: %w", errDocument, err)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := strictjson.Unmarshal(string(data), &head); err == nil && head.Version > formatVersion {
		return order{}, errNewer
	}
	for _, m := range members {
		switch m.Name {
		case "version", "authority", "region", "pinned", "at", "epoch", "reason", "left":
		default:
			return order{}, errDocument
		}
	}
	var d document
	if err := strictjson.Unmarshal(string(data), &d); err != nil || head.Version != formatVersion ||
		d.Authority != c.config.Authority.ID || d.At.IsZero() || checkReason(d.Reason) != nil {
		return order{}, errDocument
	}
	for name := range d.Left {
		if c.region(name) == nil {
			return order{}, errDocument
		}
	}
	if c.region(d.Region) == nil {
		return order{}, errDocument
	}
	return d.order, nil
}

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
