// Package pseudonyms has the command pseudonym: under which names audit records have users, clients and tokens.
package pseudonyms

import (
	"bufio"
	"context"
	"os"
	"strings"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/keys"
	"github.com/regionjwt/regionjwt/internal/pseudonym"
)

// maxValue is how many bytes a value has at most.
const maxValue = 1 << 20

// Command is pseudonym.
func Command() cli.Command {
	return cli.Command{
		Name: "pseudonym", Arguments: "[VALUE...]", Short: "compute the pseudonyms that audit records have",
		Long: `
Computes the pseudonyms by which the records of package audit name users, clients and tokens, to find the records of one. It
takes each argument as a value, or, without arguments, each line of standard input. It writes one pseudonym a line, in the order
of the values. Other users of a machine can see arguments: prefer standard input.

A pseudonym depends on the key, on the provider and on what the value is: with another one it is another text, and nothing can
tell that it is wrong. The key is the PseudonymKey of the services. Its file has the key in base64, or, with --raw, the key as it
is, with each newline.

  regionjwt pseudonym --pseudonym-key audit.key --provider us-east-1_AbCdEf123 < subjects.txt
  regionjwt pseudonym --pseudonym-key audit.key --provider us-east-1_AbCdEf123 --field token_id 7d1c0a9e-...`,
		Prepare: func(c *cli.Call) cli.Action {
			var f flags
			f.define(c)
			return func(_ context.Context, values []string) error { return run(c, &f, values) }
		},
	}
}

// flags say whose pseudonyms are computed.
type flags struct {
	key, provider, field string
	raw                  bool
}

func (f *flags) define(c *cli.Call) {
	f.field = pseudonym.Subject
	c.File(&f.key, "pseudonym-key", "`file` of the key of the audit records, mode 0600 (required)")
	c.Bool(&f.raw, "raw", "the file has the key as it is, not in base64")
	c.Text(&f.provider, "provider", "`ID` of the provider: the user pool ID, or the Provider.ID of the services (required)")
	c.Choice(&f.field, "field", "`attribute` that the values are of: "+strings.Join(pseudonym.Fields(), ", ")+" (subject)",
		pseudonym.Fields()...)
}

// named is a value with its pseudonym.
type named struct {
	Value     string `json:"value"`
	Pseudonym string `json:"pseudonym"`
}

func run(c *cli.Call, f *flags, values []string) error {
	known := false
	for _, name := range pseudonym.Fields() {
		known = known || name == f.field
	}
	switch {
	case f.key == "":
		return cli.Fail(cli.ExitUsage, "with which key? Give --pseudonym-key FILE")
	case f.provider == "":
		return cli.Fail(cli.ExitUsage, "of which provider? Give --provider ID, as the services have it")
	case !known:
		return cli.Fail(cli.ExitUsage, "--field is one of %s", strings.Join(pseudonym.Fields(), ", "))
	}
	key, err := keys.ReadPseudonymKey(f.key, f.raw)
	if err != nil {
		return err
	}
	if len(values) == 0 {
		if values, err = readValues(c); err != nil {
			return err
		}
	}
	all := make([]named, 0, len(values))
	for _, value := range values {
		if value == "" {
			return cli.Fail(cli.ExitUsage, "a value is empty: records have no pseudonym of it")
		}
		all = append(all, named{value, pseudonym.Of(key, f.field, f.provider, value)})
	}
	if c.JSON {
		return c.WriteJSON(struct {
			Provider   string  `json:"provider"`
			Field      string  `json:"field"`
			Pseudonyms []named `json:"pseudonyms"`
		}{f.provider, f.field, all})
	}
	for _, one := range all {
		c.Printf("%s\n", one.Pseudonym)
	}
	return nil
}

// readValues reads the lines of standard input. It does not repeat them in errors.
func readValues(c *cli.Call) (values []string, err error) {
	if f, ok := c.In.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			c.Notef("type the values, one a line, then press Ctrl-D\n")
		}
	}
	lines := bufio.NewScanner(c.In)
	lines.Buffer(nil, maxValue)
	for lines.Scan() {
		values = append(values, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return nil, cli.Fail(cli.ExitUsage, "standard input: line %d: %w", len(values)+1, err)
	}
	if len(values) == 0 {
		return nil, cli.Fail(cli.ExitUsage, "there is no value: give some as arguments, or one a line on standard input")
	}
	return values, nil
}
