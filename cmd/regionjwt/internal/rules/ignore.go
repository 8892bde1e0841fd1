package rules

import (
	"cmp"
	"context"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
)

// signalsName is the name of the document of a receiver of security events, unless it configures another one.
const signalsName = "regionjwt/signals"

// ignoreFor is how long a document is ignored, unless somebody says otherwise: its rules have ended by then.
const ignoreFor = 26 * time.Hour

func ignoreCommand() cli.Command {
	return cli.Command{
		Name: "ignore", Short: "ignore the rules that a receiver of security events writes",
		Long: `
Makes every service ignore the rules of one document of security events for a time: because the key of a receiver has leaked,
or because a transmitter goes wrong. The rules of operators stay in effect. The time begins at once and cannot be shortened;
after it, rules of the document that have not ended apply again. It needs the key of an operator.

  regionjwt ignore --for 26h --store ...                         # the document regionjwt/signals
  regionjwt ignore --signals shop/signals --for 26h --store ...
` + storage.Help,
		Prepare: func(c *cli.Call) cli.Action {
			var s Flags
			s.Define(c)
			signals, within := "", ""
			c.Text(&signals, "signals", "`name` of the document ("+signalsName+")")
			c.Text(&within, "for", "`time` for which it is ignored: 1m to 31d (26h)")
			return func(ctx context.Context, arguments []string) error {
				if err := c.None(arguments); err != nil {
					return err
				}
				d, err := cli.Lifetime("for", within)
				if err != nil {
					return err
				}
				return ignore(ctx, c, &s, cmp.Or(signals, signalsName), cmp.Or(d, ignoreFor))
			}
		},
	}
}

// ignored is the answer of ignore.
type ignored struct {
	Signals string    `json:"signals"`
	Until   time.Time `json:"until"`
	written
}

func ignore(ctx context.Context, c *cli.Call, s *Flags, name string, d time.Duration) error {
	l, err := s.Open(c, true, false)
	if err != nil {
		return err
	}
	defer l.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := l.loadToWrite(ctx, c, false); err != nil {
		return err
	}
	until := time.Now().Add(d).UTC().Truncate(time.Second)
	if err := l.list.IgnoreSignals(ctx, name, d); err != nil {
		return notShared(err)
	}
	w, _, err := l.readBack(ctx)
	if err != nil {
		return cli.Fail(cli.ExitNotShared, "the change was written, but could not be read back (%w): see 'regionjwt rules'", err)
	}
	if c.JSON {
		return c.WriteJSON(ignored{name, until, w})
	}
	c.Printf("%s is ignored until %s\n", name, cli.Stamp(until))
	c.Notef("%s\n", w.text())
	return nil
}
