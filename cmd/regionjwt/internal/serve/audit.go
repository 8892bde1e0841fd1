package serve

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/keys"
	"github.com/regionjwt/regionjwt/observe/audit"
)

const maxRejections = 100 // records a second and reason: clients without a token cannot fill the disk

// auditFlags say where decisions are recorded.
type auditFlags struct {
	file, keyFile string
	plain         cli.List
}

func (f *auditFlags) define(c *cli.Call) {
	c.File(&f.file, "audit", "`file` to which decisions on tokens are appended, one JSON object a line; - for standard output")
	c.List(&f.plain, "audit-plain", "`attribute` that is recorded in clear: subject, client_id, token_id, actor")
	c.File(&f.keyFile, "pseudonym-key", "`file` with the key of pseudonyms for --audit, in base64 (other names are left out)")
}

// open records the decisions of v until what it returns is called.
func (f *auditFlags) open(v *regionjwt.Validator, out io.Writer) (closeIt func(), err error) {
	if f.file == "" {
		if len(f.plain) > 0 || f.keyFile != "" {
			return nil, cli.Fail(cli.ExitUsage, "--audit-plain and --pseudonym-key need --audit")
		}
		return func() {}, nil
	}
	c := audit.Config{Plain: f.plain, MaxRejectionsPerSecond: maxRejections}
	if f.keyFile != "" {
		if c.PseudonymKey, err = keys.ReadPseudonymKey(f.keyFile, false); err != nil {
			return nil, err
		}
	}
	var to *os.File
	if f.file != "-" {
		if to, err = os.OpenFile(f.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return nil, cli.Fail(cli.ExitUsage, "--audit: %w", err)
		}
		out = to
	}
	log, err := audit.New(slog.NewJSONHandler(out, nil), c)
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "%w", err)
	}
	stop := v.Observe(regionjwt.Observer{Decision: log.Record})
	return func() {
		stop()
		log.Flush(context.Background())
		if to != nil {
			_ = to.Close()
		}
	}, nil
}
