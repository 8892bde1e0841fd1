package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/store"
)

const (
	defaultTimeout = 5 * time.Second
	passwordEnv    = "REGIONJWT_REDIS_PASSWORD" //nolint:gosec // the name of a variable
)

const storeHelp = `
The store is that of the services: same place, same prefix, same name, same fleet, same keys. A Redis password is best given in
$` + passwordEnv + `, for arguments can be seen by others; it is never written anywhere.`

// storeFlags say where the rules are, and why they may be believed.
type storeFlags struct {
	store, prefix, name, fleet, signKey, secretFile, copyDir string
	verifyKeys                                               list
	plain, overwrite                                         bool
	timeout                                                  time.Duration
}

// define defines the flags of a command about rules.
func (s *storeFlags) define(c *call) {
	c.text(&s.name, "name", "REGIONJWT_NAME", "`name` of the document ("+revocation.DefaultName+")")
	c.text(&s.copyDir, "copy", "REGIONJWT_COPY",
		"`directory` of the operators' own copy of the rules: with it "+
			"a store that was wiped or rolled back is noticed, and mended by the next change")
	s.defineStore(c, "rules", "lock everybody out, or let everybody in")
}

// defineForOrders defines the flags of a command about orders. Their document has another name than that of the rules.
func (s *storeFlags) defineForOrders(c *call) {
	c.text(&s.name, "name", "REGIONJWT_ORDER_NAME", "`name` of the document (regionjwt/failover/ and the authority's ID)")
	s.defineStore(c, "orders", "move every service")
}

// defineStore defines the flags that say where documents are, and why they may be believed. harm is what a forged one can do.
func (s *storeFlags) defineStore(c *call, documents, harm string) {
	c.text(&s.store, "store", "REGIONJWT_STORE",
		"`place` of the "+documents+": dir:PATH, redis://[USER@]HOST:PORT/DB, rediss://... with TLS, or unix://PATH?db=N")
	c.text(&s.prefix, "prefix", "REGIONJWT_PREFIX", "`text` that begins all Redis keys (regionjwt:)")
	c.text(&s.fleet, "fleet", "REGIONJWT_FLEET",
		"`name` of the fleet that documents are signed or sealed for, such as production: as the services have it")
	c.text(&s.signKey, "sign-key", "REGIONJWT_SIGN_KEY",
		"`file` of the operators' private key, mode 0600: to write; see 'regionjwt help keygen'")
	c.list(&s.verifyKeys, "verify-key", "REGIONJWT_VERIFY_KEY",
		"`file` of a public key, as the services have it: to read (that of -sign-key)")
	c.text(&s.secretFile, "seal-secret-file", "REGIONJWT_SEAL_SECRET_FILE",
		"`file` of the fleet's secret in base64, mode 0600: where documents are sealed instead of signed")
	c.flags.BoolVar(&s.plain, "insecure-plain-store", false,
		"believe "+documents+" in Redis that are neither signed nor sealed: who has its password can then "+harm)
	c.flags.DurationVar(&s.timeout, "timeout", defaultTimeout, "`time` that the whole command may take (5s)")
}

// opened is a store in use.
type opened struct {
	store    store.Store
	where    string // without passwords
	trust    string // "signed", "sealed", "directory", "plain"
	redis    bool
	list     *revocation.List
	config   revocation.Config
	closeAll func()
}

// open checks everything that can be checked without the store. writes says that something will be written.
func (s *storeFlags) open(c *call, writes bool) (*opened, error) {
	o, err := s.openStore(c, writes)
	if err != nil {
		return nil, err
	}
	o.config = revocation.Config{Store: o.store, InsecurePlainStore: s.plain, Name: s.name, AllowOverwrite: s.overwrite}
	if s.copyDir != "" {
		o.config.LocalCopy = store.Dir(s.copyDir)
	}
	config := o.config
	if writes && config.LocalCopy != nil {
		config.LocalCopy = readOnly{config.LocalCopy}
	}
	if o.list, err = revocation.New(config); err != nil {
		o.closeAll()
		return nil, fail(exitUsage, "%w", err)
	}
	return o, nil
}

// openStore is open for documents of any kind.
func (s *storeFlags) openStore(c *call, writes bool) (*opened, error) {
	if s.timeout <= 0 {
		return nil, fail(exitUsage, "-timeout must be more than nothing")
	}
	o, err := s.openPlace(c)
	if err != nil {
		return nil, err
	}
	if err := s.protect(o, writes); err != nil {
		o.closeAll()
		return nil, err
	}
	return o, nil
}

func (s *storeFlags) openPlace(c *call) (*opened, error) {
	if s.store == "" {
		return nil, fail(exitUsage, "which store? Give -store dir:PATH or -store rediss://HOST:PORT/0, or set REGIONJWT_STORE")
	}
	if path, ok := strings.CutPrefix(s.store, "dir:"); ok {
		if path == "" {
			return nil, fail(exitUsage, "-store dir: needs a path")
		}
		if s.prefix != "" {
			return nil, fail(exitUsage, "-prefix is for Redis; a directory has none")
		}
		return &opened{store: store.Dir(path), where: "dir:" + path, trust: "directory", closeAll: func() {}}, nil
	}
	return s.openRedis(c)
}

// protect wraps the store in what makes it store.Trusted.
func (s *storeFlags) protect(o *opened, writes bool) error {
	signed := s.signKey != "" || len(s.verifyKeys) > 0
	switch {
	case signed && s.secretFile != "":
		return fail(exitUsage, "documents are signed or sealed: give -sign-key and -verify-key, or -seal-secret-file")
	case (signed || s.secretFile != "") && s.fleet == "":
		return fail(exitUsage, "which fleet? Documents are signed or sealed for one: give -fleet NAME, or set REGIONJWT_FLEET, "+
			"as the services have it (the fleet of store.Signed or store.Encrypted)")
	case signed:
		return s.sign(o, writes)
	case s.secretFile != "":
		secret, err := readSecret(s.secretFile)
		if err != nil {
			return err
		}
		inner, err := store.Encrypted(o.store, s.fleet, secret)
		if err != nil {
			return fail(exitUsage, "-fleet or -seal-secret-file: %w", err)
		}
		o.trust = "sealed"
		o.store = inner
	case o.redis && !s.plain:
		return fail(exitUsage, "whoever has the password of a Redis can write rules there: give -sign-key (to write) "+
			"or -verify-key (to read), or -seal-secret-file, as the services have it; or "+
			"-insecure-plain-store, if they believe it as it is")
	case o.redis:
		o.trust = "plain"
	}
	return nil
}

func (s *storeFlags) sign(o *opened, writes bool) error {
	var signing store.Signing
	for _, path := range s.verifyKeys {
		key, err := readPublic(path)
		if err != nil {
			return err
		}
		signing.Public = append(signing.Public, key)
	}
	switch {
	case s.signKey != "":
		private, err := readPrivate(s.signKey)
		if err != nil {
			return err
		}
		own, _ := private.Public().(ed25519.PublicKey)
		if len(signing.Public) == 0 {
			signing.Public = append(signing.Public, own)
		}
		if !slices.ContainsFunc(signing.Public, func(k ed25519.PublicKey) bool { return k.Equal(own) }) {
			return fail(exitUsage,
				"the key of -sign-key is none of -verify-key: services that know those would refuse what it signs")
		}
		signing.Private = private
	case writes:
		return fail(exitUsage, "to write, give the operators' private key: -sign-key FILE, or set REGIONJWT_SIGN_KEY")
	}
	inner, err := store.Signed(o.store, s.fleet, signing)
	if err != nil {
		return fail(exitUsage, "%w", err)
	}
	o.trust = "signed"
	o.store = inner
	return nil
}

const (
	servicesKeep = "services keep the rules that they know, new ones start without them"
	writeBack    = "repeat a rule with 'regionjwt revoke' to write all of them back"
)

// troubles says what each means, and what to do.
var troubles = map[revocation.Trouble]string{
	revocation.Unreachable: "the store is unreachable: check -store, the network and the password",
	revocation.NotAuthentic: "what is there was not written by one who may: check -fleet, -verify-key, -sign-key, " +
		"-seal-secret-file, and owner and mode of a directory; " + servicesKeep,
	revocation.Malformed: "what is there is not a document of rules, or of a newer version: check -name, and whether " +
		"it is signed or sealed; " + servicesKeep,
	revocation.Wiped:  "there is nothing, and rules are known: it was wiped; " + servicesKeep + "; " + writeBack,
	revocation.Behind: "it lacks rules that are known: it was rolled back; " + servicesKeep + "; " + writeBack,
}

// load asks the store, and says what is wrong with it, as a failure.
func (o *opened) load(ctx context.Context) (trouble revocation.Trouble, err error) {
	err = o.list.Load(ctx)
	trouble = o.list.Status().Trouble
	if trouble == "" {
		return "", nil
	}
	what := o.where + ": " + troubles[trouble]
	if errors.Is(err, store.ErrTooLarge) {
		what = o.where + ": what is there is too large to be rules: check -prefix and -name"
	}
	if err != nil {
		return trouble, fail(exitStore, "%s (%w)", what, err)
	}
	return trouble, fail(exitStore, "%s", what)
}

// loadToWrite is load before a change. What a change mends is only noted.
func (o *opened) loadToWrite(ctx context.Context, c *call, overwrite bool) error {
	trouble, err := o.load(ctx)
	switch {
	case err == nil:
	case trouble == revocation.Wiped, trouble == revocation.Behind:
		c.notef("note: the store lacks rules of the copy; they are written back\n")
	case trouble != revocation.Unreachable && overwrite:
		c.notef("note: the document in the store is replaced\n")
	case trouble != revocation.Unreachable:
		return fail(exitStore, "%w; nothing was changed; -overwrite replaces it", err)
	default:
		return fail(exitStore, "%w; nothing was changed", err)
	}
	return nil
}

// readOnly is a copy that a change does not reach before it is in the store: what has failed shall not come into force by the
// next change.
type readOnly struct{ inner store.Trusted }

var errReadOnly = errors.New("the copy is written later")

// Authentic implements store.Trusted.
func (readOnly) Authentic() {}

// Load implements store.Store.
func (s readOnly) Load(ctx context.Context, name string) (store.Document, error) {
	return s.inner.Load(ctx, name)
}

// Save implements store.Store.
func (readOnly) Save(context.Context, string, []byte, string) (string, error) { return "", errReadOnly }

// silent is a store that believes what another one does, and does not answer.
type silent struct{ inner store.Store }

var errSilent = errors.New("the store is not asked")

// Authentic implements store.Trusted.
func (silent) Authentic() {}

// Scope implements store.Scoped.
func (s silent) Scope() store.Scope { return store.ScopeOf(s.inner) }

// Load implements store.Store.
func (silent) Load(context.Context, string) (store.Document, error) {
	return store.Document{}, errSilent
}

// Save implements store.Store.
func (silent) Save(context.Context, string, []byte, string) (string, error) { return "", errSilent }

// written is what stands in the store after a change.
type written struct {
	Epoch uint64 `json:"epoch"`
	Rules int    `json:"rules"`
	Store string `json:"store"`
	Trust string `json:"trust"`
	Copy  string `json:"copy,omitempty"` // written, failed
}

// readBack reads the store anew, as a service would that knows nothing, and lists its rules. The copy learns them.
func (o *opened) readBack(ctx context.Context) (written, []revocation.Entry, error) {
	config := o.config
	config.LocalCopy = nil
	fresh, err := revocation.New(config)
	if err != nil {
		return written{}, nil, err
	}
	if err := fresh.Load(ctx); err != nil {
		return written{}, nil, err
	}
	st := fresh.Status()
	w := written{Epoch: st.Epoch, Rules: st.Rules, Store: o.where, Trust: o.trust}
	if o.config.LocalCopy != nil {
		w.Copy = o.writeCopy(ctx, st.Epoch)
	}
	return w, fresh.Rules(), nil
}

// writeCopy has the copy learn what is in the store, and looks whether it has.
func (o *opened) writeCopy(ctx context.Context, epoch uint64) string {
	alone := o.config
	alone.Store = silent{o.store}
	for _, config := range []revocation.Config{o.config, alone} {
		list, err := revocation.New(config)
		if err != nil {
			return "failed"
		}
		if err := list.Load(ctx); err != nil && !errors.Is(err, errSilent) || list.Status().Epoch < epoch {
			return "failed"
		}
	}
	return "written"
}
