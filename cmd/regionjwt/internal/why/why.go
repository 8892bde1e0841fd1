// Package why has the command that explains which region is active, and why.
package why

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

const (
	timeout = 10 * time.Second
	maxPage = 16 << 20 // bytes
)

// Command returns the command.
func Command() cli.Command {
	return cli.Command{
		Name: "why", Arguments: "URL|FILE|-", Short: "explain which region is active, why, and what would move it",
		Long: `
Explains the active region of each provider from the status page of one service: its URL, a file with its JSON, or - for standard
input, which also serves a page that needs credentials. It says which reports of which reporter moved the region and since when,
what is known about each region, and what would make another one active. It is the view of one process: ask several.

  regionjwt failover why http://orders.internal:9000/status/
  curl -s -H "Authorization: Bearer $TOKEN" https://orders.example/status/status.json | regionjwt failover why -
`,
		Prepare: func(c *cli.Call) cli.Action {
			var id string
			c.Text(&id, "provider", "`ID` of the provider (all)")
			return func(ctx context.Context, arguments []string) error {
				if len(arguments) != 1 {
					return cli.Fail(cli.ExitUsage, "whose view? Give the URL of a status page, a file with its JSON, or -")
				}
				return run(ctx, c, arguments[0], id)
			}
		},
	}
}

func run(ctx context.Context, c *cli.Call, from, id string) error {
	text, more, err := read(ctx, c, from, id)
	if err != nil {
		return err
	}
	var page regionjwt.Status
	if err := strictjson.Unmarshal(string(text), &page); err != nil {
		return cli.Fail(cli.ExitUsage, "%s is not the JSON of a status page", cli.Clip(from))
	}
	shown := []failover.Status{}
	for i := range page.Failover {
		if id == "" || page.Failover[i].Provider == id {
			shown = append(shown, page.Failover[i])
		}
	}
	switch {
	case len(shown) == 0 && id != "":
		return cli.Fail(cli.ExitNo, "the status page has no failover of provider %s", cli.Clip(id))
	case len(shown) == 0:
		return cli.Fail(cli.ExitNo,
			"the status page has no failover: set Config.Failover, or the member failover of the configuration file")
	case more:
		c.Notef("note: the service has more providers than one page: give --provider\n")
	}
	if c.JSON {
		return c.WriteJSON(shown)
	}
	for i := range shown {
		write(c, &shown[i])
	}
	return nil
}

// read reads the JSON of a status page, and reports whether the page has more providers.
func read(ctx context.Context, c *cli.Call, from, id string) (text []byte, more bool, err error) {
	switch {
	case from == "-":
		text, err = limited(c.In)
	case strings.HasPrefix(from, "http://") || strings.HasPrefix(from, "https://"):
		return fetch(ctx, from, id)
	default:
		var f *os.File
		if f, err = os.Open(from); err == nil { //nolint:gosec // the operator names it
			defer func() { _ = f.Close() }()
			text, err = limited(f)
		}
	}
	if err != nil {
		return nil, false, cli.Fail(cli.ExitUsage, "%w", err)
	}
	return text, false, nil
}

func limited(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPage+1))
	if err == nil && len(text) > maxPage {
		err = errors.New("the status page is too long")
	}
	return text, err
}

// fetch requests a status page.
func fetch(ctx context.Context, from, id string) (text []byte, more bool, err error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, false, cli.Fail(cli.ExitUsage, "that is no URL")
	}
	if id != "" {
		q := u.Query()
		q.Set("provider", id)
		u.RawQuery = q.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, false, cli.Fail(cli.ExitUsage, "that is no URL")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", outbound.UserAgent)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, false, cli.Fail(cli.ExitCannotTell, "%w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusNotFound: // for an unknown provider, the page has no providers
	default:
		return nil, false, cli.Fail(cli.ExitCannotTell, "the status page answers %s", resp.Status)
	}
	if text, err = limited(resp.Body); err != nil {
		return nil, false, cli.Fail(cli.ExitCannotTell, "%w", err)
	}
	return text, strings.Contains(resp.Header.Get("Link"), `rel="next"`), nil
}

// write explains one provider.
func write(c *cli.Call, s *failover.Status) {
	c.Printf("%s: %s is active since %s (%s)\n", s.Provider, s.Active, cli.Stamp(s.Since), s.Cause)
	for _, line := range s.Why {
		c.Printf("  because %s\n", line)
	}
	if s.Note != "" {
		c.Printf("  note: %s\n", s.Note)
	}
	if !s.Expires.IsZero() {
		c.Printf("  the pin expires at %s\n", cli.Stamp(s.Expires))
	}
	for _, line := range s.Conflicts {
		c.Printf("  in conflict: %s\n", line)
	}
	for _, r := range s.Regions {
		c.Printf("  %s is %s: %s\n", r.Region, r.Health, r.Why)
		if !r.HoldDownUntil.IsZero() {
			c.Printf("    not entered automatically until %s (hold-down)\n", cli.Stamp(r.HoldDownUntil))
		}
		for _, line := range r.Reports {
			c.Printf("    %s\n", line)
		}
	}
	for _, line := range s.Next {
		c.Printf("  next: %s\n", line)
	}
}
