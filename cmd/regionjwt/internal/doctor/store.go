package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/check"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/config"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/pins"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/rules"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/storage"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/issuer"
	"github.com/regionjwt/regionjwt/verifier"
)

// describedProvider is the provider of the flags, or nil if they describe none.
func (x *examination) describedProvider() (*issuer.Provider, error) {
	f := x.flags
	if !f.provider.Given() {
		return nil, nil //nolint:nilnil // there is none
	}
	p, err := f.provider.Provider("examined", f.provider.JWKS)
	return &p, err
}

// store checks the store, its documents and the local copy. A key that cannot be used is a line of its own already.
func (x *examination) store(ctx context.Context, p *issuer.Provider) error {
	f := x.flags
	if len(f.rules.Stores) == 0 {
		return nil
	}
	l, err := f.rules.Open(x.call, false, true)
	var wrong *cli.ExitError
	switch {
	case err != nil && x.found(levelError) > 0:
		x.fail("store", "", "it was not asked: "+err.Error(), "correct the errors above")
		return nil
	case errors.As(err, &wrong) && f.rules.Fleet == "":
		x.fail("store", "", err.Error(), "set REGIONJWT_FLEET, or what the message names")
		return nil
	case err != nil:
		return err
	}
	defer l.CloseAll()
	ctx, cancel := context.WithTimeout(ctx, f.rules.Timeout)
	defer cancel()
	for _, p := range l.Places {
		if p.Dir != "" {
			x.directory("store", p.Dir)
		}
	}
	x.rulesIn(ctx, l)
	for i, one := range l.State().Stores {
		if one.Problem != label.Unavailable {
			x.storeClock(ctx, l.Places[i])
		}
	}
	if p != nil && (f.provider.Pool != "" || f.provider.ID != "") {
		x.pinsIn(ctx, l.Opened, *p, f.pinName)
	}
	x.localCopy(ctx, l)
	return nil
}

// rulesIn reads the rules of every store.
func (x *examination) rulesIn(ctx context.Context, l *rules.List) {
	if l.Trust == "plain" {
		remedy := "sign them: 'regionjwt keygen', then --sign-key here and store.Signed in the services"
		if x.flags.config.Given() {
			remedy = "sign them: 'regionjwt keygen', then fleet and publicKeys of the store in the file"
		}
		x.warn("store", l.Where, "its documents are neither signed nor encrypted", remedy)
	}
	_, err := l.Load(ctx)
	st := l.State()
	for _, one := range st.Stores {
		switch {
		case one.Problem != "":
			remedy, text := rules.Remedies[one.Problem], one.Problem
			if err != nil && one.Problem == st.Problem { // what the rest of the line says is left out
				text += " " + strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(err.Error(), one.Where+": "), remedy))
			}
			x.fail("rules", one.Where, text, x.members(remedy))
		case one.Epoch == 0:
			x.warn("rules", one.Where, "it answers, and has no rules: none was ever written here, or it has lost them",
				x.members("check --store, --prefix and --name")+
					"; if they are right, there is nothing to correct before the first rule")
		default:
			x.ok("rules", one.Where,
				fmt.Sprintf("authentic for this fleet (%s), epoch %d, rules: %d", l.Trust, one.Epoch, st.Rules))
		}
	}
	if st.Unreadable > 0 {
		x.warn("rules", l.Where, fmt.Sprintf("%d rules are of a newer version", st.Unreadable),
			"services of the version of this tool do not apply them: upgrade them")
	}
}

// inFile has the members of a configuration file for the flags that it replaces.
var inFile = strings.NewReplacer("--store", "url", "--prefix", "prefix", "--name", "name", "--pin-name", "name",
	"--fleet", "fleet", "--verify-key, --sign-key", "publicKeys", "--verify-key", "publicKeys", "--secret-file", "secretFile",
	"the password", "passwordFile", "the provider's flags", "the provider")

// members returns a remedy with the flags that it names, or with the members of the file that --config names.
func (x *examination) members(remedy string) string {
	if !x.flags.config.Given() {
		return remedy
	}
	return inFile.Replace(remedy)
}

// pinsIn reads the pins of a provider.
func (x *examination) pinsIn(ctx context.Context, l *storage.Opened, p issuer.Provider, name string) {
	ctl, err := pins.New(l, p, name)
	if err == nil {
		err = ctl.Load(ctx)
	}
	if err != nil {
		remedy := "check --fleet, --verify-key, --pin-name and the provider's flags"
		if ctl.Problem() == label.Unavailable {
			remedy = rules.Remedies[label.Unavailable]
		}
		x.fail("pins", l.Where, strings.TrimPrefix(err.Error(), l.Where+": "), x.members(remedy))
		return
	}
	switch s := ctl.State(); {
	case s.Epoch == 0:
		x.ok("pins", l.Where, "no region of "+p.ID+" was ever pinned")
	case s.Pinned:
		x.warn("pins", l.Where, fmt.Sprintf("%s is pinned since %s, epoch %d", s.Region, cli.Stamp(s.At), s.Epoch),
			"leave it, if it is still intended; otherwise 'regionjwt unpin'")
	default:
		x.ok("pins", l.Where, fmt.Sprintf("authentic for this fleet, no region is pinned, epoch %d", s.Epoch))
	}
}

// localCopy compares the local copy with the store.
func (x *examination) localCopy(ctx context.Context, l *rules.List) {
	path := x.flags.rules.LocalCopy
	if path == "" {
		x.warn("local copy", "", "there is none, so a store that has lost its rules cannot be told from a new one",
			"set REGIONJWT_LOCAL_COPY to a directory of the operators")
		return
	}
	if !x.directory("local copy", path) {
		return
	}
	epoch, err := l.CopyEpoch(ctx)
	st := l.State()
	switch {
	case err != nil:
		x.fail("local copy", path, err.Error(),
			"check its owner and mode; if it is damaged, remove it, and run 'regionjwt rules'")
	case epoch < st.Epoch:
		x.warn("local copy", path, fmt.Sprintf("epoch %d, the store has %d", epoch, st.Epoch),
			"run 'regionjwt rules': it brings it up to date")
	default:
		x.ok("local copy", path, fmt.Sprintf("epoch %d", epoch))
	}
}

// storeClock compares the clock with that of the store, if it has one.
func (x *examination) storeClock(ctx context.Context, l *storage.Place) {
	if l.Time == nil {
		return
	}
	sent := time.Now()
	at, err := l.Time(ctx)
	got := time.Now()
	switch {
	case err != nil: // a user that may not ask is no problem
		x.ok("clock", l.Where, "it does not tell its time")
	case at.Before(sent):
		x.clock(l.Where, at.Sub(sent).Truncate(time.Second))
	case at.After(got):
		x.clock(l.Where, at.Sub(got).Truncate(time.Second))
	default:
		x.clock(l.Where, 0)
	}
}

// urls asks every JWKS URL.
func (x *examination) urls(ctx context.Context, p issuer.Provider, file *config.Config) error {
	f := x.flags
	client, err := f.provider.Client(f.rules.Timeout)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	plain := f.provider.PlainHosts
	if file != nil {
		plain = slices.Concat(plain, file.Keys.InsecureHTTPHosts)
		client = file.Client(verifier.Policy{Provider: p}, client, plain)
		p.HTTPClient = nil // its requests are sent by client
	}
	probes, err := check.ProbeAll(ctx, p, client, plain, f.rules.Timeout)
	if err != nil {
		return err
	}
	const remedy = "try it from where the services run, check DNS, proxy and --ca, and see 'regionjwt check'"
	for _, one := range probes {
		subject := one.Region + " " + one.URL
		switch {
		case one.State == "good":
			x.ok("jwks url", subject, fmt.Sprintf("%d keys, %d ms", one.Keys, one.Took.Milliseconds()))
		case one.State == label.NotEnabled:
			x.warn("jwks url", subject, "not enabled here ("+one.Failure+")",
				"nothing, if the provider does not serve this URL (yet)")
		case one.CertFlaw != "":
			x.fail("jwks url", subject, "its certificate is not good: "+one.CertFlaw+", it ends "+cli.Stamp(one.CertEnds),
				"renew the certificate, or name its certificate authority with --ca")
		default:
			x.fail("jwks url", subject, "no keys: "+one.Failure, remedy)
		}
		if one.HasDate {
			x.clock(one.URL, one.Ahead)
		}
	}
	return nil
}
