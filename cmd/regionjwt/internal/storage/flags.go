// Package storage opens the store in which a fleet shares its rules and pins, as flags describe it.
package storage

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/keys"
	"github.com/regionjwt/regionjwt/internal/replica"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// DefaultTimeout bounds a command, or one answer of a server.
const DefaultTimeout = 5 * time.Second

// Flags say where documents are, and why they may be trusted.
type Flags struct {
	Stores                             cli.List
	Prefix, Fleet, SignKey, SecretFile string
	VerifyKeys                         cli.List
	Plain                              bool
	Timeout                            time.Duration

	// HeartbeatFor is the document for which --sign-key signs heartbeats only; "" means that it signs everything.
	HeartbeatFor string
}

// Help is the part of a command's help that is about the store.
const Help = `
The store is that of the services: same place, same prefix, same name, same fleet, same keys. Give a Redis password in
$` + passwordEnv + `: other users of a machine can see arguments. It is never written anywhere.`

// DefinePlaces defines the flags that say where documents are. documents names what is kept.
func (s *Flags) DefinePlaces(c *cli.Call, documents string) {
	c.List(&s.Stores, "store",
		"`place` of the "+documents+": dir:PATH, redis://[USER@]HOST:PORT/DB, rediss://... with TLS, or unix://PATH?db=N")
	c.Text(&s.Prefix, "prefix", "`text` that begins all Redis keys (regionjwt:)")
	c.Duration(&s.Timeout, "timeout", DefaultTimeout, "`time` that the whole command may take (5s)")
}

// Define defines the flags. documents names what is kept, and harm is what a forged one can do.
func (s *Flags) Define(c *cli.Call, documents, harm string) {
	s.DefinePlaces(c, documents)
	c.Text(&s.Fleet, "fleet",
		"`name` of the fleet that documents are signed or encrypted for, such as production: as the services have it")
	c.File(&s.SignKey, "sign-key", "`file` of the operators' private key, mode 0600: to write; see 'regionjwt help keygen'")
	c.List(&s.VerifyKeys, "verify-key", "`file` of a public key, as the services have it: to read (that of --sign-key)")
	c.File(&s.SecretFile, "secret-file",
		"`file` of the fleet's secret in base64, mode 0600: if documents are encrypted instead of signed")
	c.Bool(&s.Plain, "insecure-plain-store",
		"trust "+documents+" in Redis that are neither signed nor encrypted: everyone who has its password can then "+harm)
}

// Opened is the stores in use.
type Opened struct {
	Places []*Place
	Where  string // all places, without passwords
	Trust  string // "signed", "encrypted", "directory", "plain"
}

// Place is one of the stores.
type Place struct {
	Store store.Trusted
	Where string                                   // without passwords
	Dir   string                                   // the path of a directory, or ""
	Time  func(context.Context) (time.Time, error) // the store's clock; nil if it has none

	inner store.Store
	redis bool
	close func()
}

// Stores returns the stores.
func (o *Opened) Stores() (all []store.Trusted) {
	for _, p := range o.Places {
		all = append(all, p.Store)
	}
	return all
}

// Inner returns the store without what protects its documents, for those that prove themselves.
func (p *Place) Inner() store.Store { return p.inner }

// CloseAll closes the connections.
func (o *Opened) CloseAll() {
	for _, p := range o.Places {
		p.close()
	}
}

// Open checks everything that can be checked without the stores. writes says that something will be written.
func (s *Flags) Open(c *cli.Call, writes bool) (*Opened, error) {
	return s.open(c, func(o *Opened, p *Place) error { return s.protect(o, p, writes) })
}

// OpenPlaces is Open of stores whose documents prove themselves: their places have no Store.
func (s *Flags) OpenPlaces(c *cli.Call) (*Opened, error) {
	return s.open(c, func(*Opened, *Place) error { return nil })
}

func (s *Flags) open(c *cli.Call, protect func(*Opened, *Place) error) (*Opened, error) {
	if s.Timeout <= 0 {
		return nil, cli.Fail(cli.ExitUsage, "--timeout must be positive")
	}
	if len(s.Stores) == 0 {
		return nil, cli.Fail(cli.ExitUsage,
			"which store? Give --store dir:PATH or --store rediss://HOST:PORT/0, or set REGIONJWT_STORE")
	}
	o := &Opened{}
	for _, place := range s.Stores {
		p, err := s.openPlace(c, place)
		if err == nil {
			o.Places = append(o.Places, p)
			err = protect(o, p)
		}
		if err != nil {
			o.CloseAll()
			return nil, err
		}
	}
	var names []string
	for _, p := range o.Places {
		names = append(names, p.Where)
	}
	o.Where = strings.Join(names, ", ")
	return o, nil
}

func (s *Flags) openPlace(c *cli.Call, place string) (*Place, error) {
	if path, ok := strings.CutPrefix(place, "dir:"); ok {
		if path == "" {
			return nil, cli.Fail(cli.ExitUsage, "--store dir: needs a path")
		}
		if s.Prefix != "" {
			return nil, cli.Fail(cli.ExitUsage, "--prefix is for Redis; a directory has none")
		}
		dir := store.Dir(path)
		return &Place{Store: dir, inner: dir, Where: "dir:" + path, Dir: path, close: func() {}}, nil
	}
	return s.openRedis(c, place)
}

// protect wraps a store in what makes it store.Trusted.
func (s *Flags) protect(o *Opened, p *Place, writes bool) error {
	signed := s.SignKey != "" || len(s.VerifyKeys) > 0
	switch {
	case signed && s.SecretFile != "":
		return cli.Fail(cli.ExitUsage,
			"documents are signed or encrypted: give --sign-key and --verify-key, or --secret-file")
	case (signed || s.SecretFile != "") && s.Fleet == "":
		return cli.Fail(cli.ExitUsage, "which fleet? Documents are signed or encrypted for one: give --fleet NAME, or set "+
			"REGIONJWT_FLEET, as the services have it (the fleet of store.Signed or store.Encrypted)")
	case signed:
		return s.sign(o, p, writes)
	case s.SecretFile != "":
		return s.encrypt(o, p)
	case p.redis && !s.Plain:
		return cli.Fail(cli.ExitUsage, "everyone who has the password of a Redis can write documents there: "+
			"give --sign-key (to write) "+
			"or --verify-key (to read), or --secret-file, as the services have it; or "+
			"--insecure-plain-store, if they trust it as it is")
	case s.Fleet != "" && !s.Plain:
		return cli.Fail(cli.ExitUsage, "--fleet has no effect: documents of a fleet are signed or encrypted: "+
			"give --sign-key (to write) or --verify-key (to read), or --secret-file, as the services have it")
	case p.redis:
		o.Trust, p.Store = "plain", store.InsecureTrust(p.inner)
	default:
		o.Trust = cmp.Or(o.Trust, "directory")
	}
	return nil
}

func (s *Flags) encrypt(o *Opened, p *Place) error {
	secret, err := keys.ReadSecret(s.SecretFile)
	if err != nil {
		return err
	}
	encrypted := store.Encrypted(p.inner, s.Fleet, secret)
	o.Trust, p.Store = "encrypted", store.InsecureTrust(encrypted) // as the flag spells it
	return checked("--fleet or --secret-file", encrypted)
}

func (s *Flags) sign(o *Opened, p *Place, writes bool) error {
	public, private, err := s.Keys()
	if err != nil {
		return err
	}
	own := slices.IndexFunc(public, func(k store.PublicKey) bool {
		return private != nil && k.Key.Equal(private.Public())
	})
	if s.HeartbeatFor != "" && own >= 0 {
		public[own].Documents = []string{replica.AliveName(s.HeartbeatFor)}
	}
	if private == nil && writes {
		return cli.Fail(cli.ExitUsage, "to write, give the operators' private key: --sign-key FILE, or set REGIONJWT_SIGN_KEY")
	}
	o.Trust, p.Store = "signed", store.Signed(p.inner, s.Fleet, private, public...)
	return checked("--fleet or --verify-key", p.Store)
}

// checked returns every problem with what a store was made of.
func checked(flags string, s store.Trusted) error {
	if err := errors.Join(trust.Check(flags, s)...); err != nil {
		return cli.Fail(cli.ExitUsage, "%w", err)
	}
	return nil
}

// Keys reads the keys of the flags: those that services verify with, and the private one, or nil. It checks that they belong
// together.
func (s *Flags) Keys() (public []store.PublicKey, private ed25519.PrivateKey, err error) {
	for _, path := range s.VerifyKeys {
		key, err := keys.ReadPublic(path)
		if err != nil {
			return nil, nil, err
		}
		public = append(public, key)
	}
	if s.SignKey == "" {
		return public, nil, nil
	}
	if private, err = keys.ReadPrivate(s.SignKey); err != nil {
		return nil, nil, err
	}
	own, _ := private.Public().(ed25519.PublicKey)
	if len(public) == 0 {
		public = append(public, store.PublicKey{Key: own})
	}
	if !slices.ContainsFunc(public, func(k store.PublicKey) bool { return k.Key.Equal(own) }) {
		return nil, nil, cli.Fail(cli.ExitUsage,
			"the key of --sign-key is none of --verify-key: services that have those would reject what it signs")
	}
	return public, private, nil
}

// Pause waits for d, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
