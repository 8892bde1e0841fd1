package failover

import (
	"context"
	"net/http"

	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/issuer"
)

// SetSpread sets by how much of a tenth hold-downs are longer: from 0 to 1.
func (c *Controller) SetSpread(f func() float64) { c.spread = f }

// BuiltInProbe returns the built-in probe over a client.
func BuiltInProbe(client *http.Client) func(context.Context, issuer.Region) error {
	return prober{outbound.Careful(outbound.Client(client, nil), nil)}.check
}
