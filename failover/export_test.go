package failover

import (
	"context"
	"net/http"
	"time"

	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
)

// SetSpread sets by how much of a tenth hold-downs are longer: from 0 to 1.
func (c *Controller) SetSpread(f func() float64) { c.spread = f }

// BuiltInProbe returns the built-in probe over a client.
func BuiltInProbe(client *http.Client) func(context.Context, issuer.Region) error {
	return prober{outbound.Careful(outbound.Client(client, nil), nil)}.check
}

// PinDocument is a document of the provider "orders" whose regions were pinned one after the other, a second apart, for a day.
func PinDocument(epoch uint64, at time.Time, regions ...string) []byte {
	h := noPins
	for i, region := range regions {
		since := at.Add(time.Duration(i) * time.Second)
		h = h.add(pin{Provider: "orders", Region: region, Pinned: true, At: since, Expires: since.Add(24 * time.Hour)})
	}
	c := &Controller{provider: issuer.Provider{ID: "orders"}}
	data, _ := c.encode(h.WithEpoch(epoch)) // it is a good one
	return data
}

// Heads are the notes of the pins that no other one replaces, by their IDs.
func Heads(c *Controller) map[string]string {
	heads := map[string]string{}
	for _, p := range c.replica.State().Document.heads {
		heads[p.id] = p.Note
	}
	return heads
}
