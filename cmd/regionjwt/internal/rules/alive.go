package rules

import (
	"context"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/store"
)

// beaten is the answer of rules alive.
type beaten struct {
	Epoch  uint64 `json:"epoch"`
	Stores int    `json:"stores"` // that have the heartbeat
}

// alive writes a heartbeat to every store. It refuses if a store misses something: a heartbeat would prove that this is all.
func alive(ctx context.Context, c *cli.Call, s *Flags) error {
	if s.LocalCopy == "" {
		return cli.Fail(cli.ExitUsage, "--local-copy is needed: without it nobody notices that a store has lost rules")
	}
	s.HeartbeatFor = s.documentName()
	l, err := s.Open(c, true, false)
	if err != nil {
		return err
	}
	defer l.CloseAll()
	if l.Trust != "signed" {
		return cli.Fail(cli.ExitUsage, "a heartbeat is signed: give --fleet, --sign-key and --verify-key")
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	_, err = l.Load(ctx)
	var well []store.Trusted
	for i, one := range l.State().Stores {
		switch {
		case one.Problem == "" && one.Epoch > 0:
			well = append(well, l.Places[i].Store)
		case one.Problem != "" && one.Problem != label.Unavailable:
			return cli.Fail(cli.ExitCannotTell,
				"%w; no heartbeat was written: 'regionjwt rules restore' writes back what is missing", err)
		}
	}
	if len(well) == 0 {
		return cli.Fail(cli.ExitCannotTell, "no store in %s has rules; no heartbeat was written", l.Where)
	}
	n, err := replica.Beat(ctx, well, l.replica.Name)
	if n == 0 {
		return cli.Fail(cli.ExitNotShared, "the heartbeat was not written: %w", err)
	}
	_ = l.writeCopy(ctx, l.State().Epoch)
	if err != nil {
		c.Notef("note: not every store has the heartbeat: %s\n", cli.SafeText(err.Error()))
	}
	out := beaten{Epoch: l.State().Epoch, Stores: n}
	if c.JSON {
		return c.WriteJSON(out)
	}
	c.Printf("alive: epoch %d, stores: %d\n", out.Epoch, out.Stores)
	return nil
}
