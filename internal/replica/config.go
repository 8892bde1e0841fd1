package replica

import (
	"errors"
	"fmt"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// ErrNewer says that a newer version of this library wrote a document. No older version may replace it.
var ErrNewer = errors.New("the document is of a newer version")

// Check returns every problem with c, by the names of its fields.
func Check(c store.ReplicaConfig) (problems []error) {
	problems = append(trust.Check("Replica.Store", c.Store), trust.Check("Replica.LocalCopy", c.LocalCopy)...)
	if len(c.Name) > document.MaxName {
		problems = append(problems, fmt.Errorf("Replica.Name has %d bytes; the maximum is %d", len(c.Name), document.MaxName))
	}
	if c.PollInterval < 0 {
		problems = append(problems, errors.New("Replica.PollInterval is negative"))
	}
	if c.Store == nil && c.LocalCopy == nil && (c.Name != "" || c.PollInterval > 0 || c.MinEpoch > 0) {
		problems = append(problems, errors.New(
			"there is a Replica.Name, Replica.PollInterval or Replica.MinEpoch, but neither Store nor LocalCopy"))
	}
	return problems
}

// Default fills in the defaults of c.
func Default(c store.ReplicaConfig, name string) store.ReplicaConfig {
	if c.Name == "" {
		c.Name = name
	}
	if c.PollInterval == 0 {
		c.PollInterval = DefaultPollInterval
	}
	return c
}
