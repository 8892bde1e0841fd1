package rules

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

const maxFile = 16 << 20 // bytes of a status, or of rules

// services are the states of services, as their status pages tell them.
type services struct {
	files cli.List
	all   []service
}

type service struct {
	file string
	regionjwt.Status
}

func (s *services) define(c *cli.Call) {
	c.List(&s.files, "service-status", "`file` with the status.json of a service's status page: it says which providers "+
		"there are, which rules the service can read, and whether a region has answered it")
}

// read reads the files.
func (s *services) read() error {
	for _, file := range s.files {
		one := service{file: file}
		if err := readJSON("--service-status", file, &one.Status); err != nil {
			return err
		}
		s.all = append(s.all, one)
	}
	return nil
}

// readJSON reads a file.
func readJSON(flag, file string, into any) error {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%s: %w", flag, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	if err == nil {
		_, err = strictjson.Parse(nil, string(data))
	}
	if err == nil {
		err = strictjson.Unmarshal(string(data), into)
	}
	if err != nil {
		return cli.Fail(cli.ExitUsage, "%s: %s is not what a status page answers: %w", flag, cli.Quoted(file), err)
	}
	return nil
}

// providers lists the providers that the services have.
func (s *services) providers() (ids []string) {
	for i := range s.all {
		for _, k := range s.all[i].Keys {
			ids = append(ids, k.Provider)
		}
		for _, f := range s.all[i].Failover {
			ids = append(ids, f.Provider)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// note says what a rule does that one may not expect.
func (s *services) note(c *cli.Call, r Rule, version int) {
	if matchesAll(r) {
		whose := "provider " + cli.Quoted(r.Provider)
		if r.Provider == everyProvider {
			whose = "every provider"
			if n := len(s.providers()); n > 0 {
				whose = fmt.Sprintf("each of %d providers", n)
			}
		}
		c.Notef("note: it rejects every token of %s that was issued before %s\n", whose, cli.Stamp(r.IssuedBefore))
	}
	var cannot, unheard []string
	for i := range s.all {
		one := &s.all[i]
		if one.Revocation == nil || one.Revocation.Reads < version {
			cannot = append(cannot, cli.Quoted(one.file))
		}
		if one.isUnheard(r) {
			unheard = append(unheard, cli.Quoted(one.file))
		}
	}
	if len(cannot) > 0 {
		c.Notef("note: %d of %d services cannot read this rule, which has version %d, and do NOT apply it; upgrade them: %s\n",
			len(cannot), len(s.all), version, strings.Join(cannot, ", "))
	}
	if len(unheard) > 0 {
		c.Notef("note: the region %s has not answered %d of %d services: there the rule may reject every token of the issuers "+
			"that the region shares with another one: %s\n",
			cli.Quoted(r.Region), len(unheard), len(s.all), strings.Join(unheard, ", "))
	}
}

// noteAll says which rules the services cannot read or do not have the provider of.
func (s *services) noteAll(c *cli.Call, rules []Rule) {
	known := s.providers()
	if len(known) == 0 {
		return
	}
	for _, r := range rules {
		if r.Provider != everyProvider && !slices.Contains(known, r.Provider) {
			c.Notef("note: the rule %s is about the provider %s, which no service of --service-status has: "+
				"it matches no token there\n", r.ID(), cli.Quoted(r.Provider))
		}
	}
	for i := range s.all {
		if st := s.all[i].Revocation; st != nil && st.Unreadable > 0 {
			c.Notef("note: the service of %s does NOT apply %d rules, which it cannot read: upgrade it\n",
				cli.Quoted(s.all[i].file), st.Unreadable)
		}
	}
}

func quoted(names []string) (all []string) {
	for _, name := range names {
		all = append(all, cli.Quoted(name))
	}
	return all
}

// isUnheard reports whether a rule names a region whose keys the service never had.
func (s *service) isUnheard(r Rule) bool {
	found := false
	for _, k := range s.Keys {
		if r.Region == "" || k.Region != r.Region || r.Provider != everyProvider && r.Provider != k.Provider {
			continue
		}
		found = true
		if !k.LastSuccess.IsZero() || len(k.KeyIDs) > 0 {
			return false
		}
	}
	return found
}

// matchesAll reports whether a rule matches every token of a provider, up to a time of issue.
func matchesAll(r Rule) bool {
	r.Provider, r.Note = "", ""
	r.IssuedBefore, r.ExpiresAt, r.Created = time.Time{}, time.Time{}, time.Time{}
	return r == Rule{}
}
