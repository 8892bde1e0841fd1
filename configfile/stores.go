package configfile

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/regionjwt/regionjwt/internal/nils"
	"github.com/regionjwt/regionjwt/internal/trust"
	"github.com/regionjwt/regionjwt/store"
)

// Location says where a store is. It is what the file says about a store, except for why its documents may be trusted.
type Location struct {
	URL      string // as the file has it; it holds no password
	Prefix   string // what the names of documents begin with, or ""
	Password string // read from a file, or ""
}

const dirScheme = "dir"

// buildStores makes the stores that the file names.
func (b *builder) buildStores(d *document) {
	for _, name := range slices.Sorted(maps.Keys(d.Stores)) {
		l := d.Stores[name]
		if l.URL == "" {
			continue // reported as missing
		}
		inner, s := b.storeAt(&l, d.Monitors != nil && slices.Contains(d.Monitors.Stores, name))
		if inner != nil {
			b.inner[name] = inner
		}
		if s != nil {
			b.stores[name] = s
			for _, problem := range trust.Check("url", s) {
				b.add(l.At, "%w", problem)
			}
		}
	}
}

// storeNamed returns a store that another part names.
func (b *builder) storeNamed(at place, member, name string) store.Trusted {
	s, ok := b.stores[name]
	if _, unprotected := b.inner[name]; !ok && unprotected {
		b.add(at, "%s: store %q: %s", member, name, unprotectedText)
	} else if !ok {
		b.noStore(at, member, name)
	}
	return s
}

// noStore reports a store that is not there; one with a problem was reported.
func (b *builder) noStore(at place, member, name string) {
	if !slices.Contains(b.names, name) {
		b.add(at, "%s: there is no store %q in the member stores", member, name)
	}
}

// unprotectedText is the problem of a store that nothing proves.
const unprotectedText = "everyone who can write there could forge documents: give fleet and publicKeys, or fleet and secretFile"

// storeAt makes one store: as it is, and as one that is trusted. If it is for the verdicts of monitors, nothing needs to protect
// it.
func (b *builder) storeAt(l *location, forVerdicts bool) (inner store.Store, trusted store.Trusted) {
	path, isDir := strings.CutPrefix(l.URL, dirScheme+":")
	before := len(b.problems)
	switch {
	case isDir && (l.Prefix != "" || l.PasswordFile != ""):
		b.add(l.At, "a directory has neither prefix nor passwordFile")
	case isDir && path == "":
		b.add(l.At, "url: dir: needs a path")
	}
	protected := isDir || len(l.PublicKeys) > 0 || l.SecretFile != "" || l.InsecureTrust
	if !protected && !forVerdicts && strings.Contains(l.URL, ":") { // without a scheme, what is wrong is the URL
		b.add(l.At, unprotectedText)
	}
	b.checkTrust(l, isDir)
	keys := b.storeKeys(l)
	at := Location{URL: l.URL, Prefix: l.Prefix}
	if l.PasswordFile != "" {
		var err error
		if at.Password, err = b.password(l.PasswordFile); err != nil {
			b.add(l.At, "passwordFile: %w", err)
		}
	}
	if isDir {
		inner = store.Dir(b.path(path))
	} else {
		inner = b.opened(l, at, len(b.problems) == before)
	}
	switch {
	case len(b.problems) > before:
		return nil, nil
	case !protected:
		return inner, nil
	}
	return inner, l.wrap(inner, keys)
}

// storeKeys are the keys and the secret of a store.
type storeKeys struct {
	public  []store.PublicKey
	private ed25519.PrivateKey
	secret  []byte
}

func (b *builder) storeKeys(l *location) (k storeKeys) {
	for i, p := range l.PublicKeys {
		if p.File == "" {
			continue // reported as missing
		}
		key, err := b.publicKey(p.File)
		if err != nil {
			b.add(l.At, "publicKeys[%d]: %w", i, err)
			continue
		}
		key.Documents = p.Documents
		k.public = append(k.public, key)
	}
	var err error
	if l.PrivateKeyFile != "" {
		if k.private, err = b.privateKey(l.PrivateKeyFile); err != nil {
			b.add(l.At, "privateKeyFile: %w", err)
		}
	}
	if l.SecretFile != "" {
		if k.secret, err = b.secret(l.SecretFile); err != nil {
			b.add(l.At, "secretFile: %w", err)
		}
	}
	return k
}

// publicKey reads the file of a public key.
func (b *builder) publicKey(name string) (store.PublicKey, error) {
	if _, err := b.file(name, change, b.files); err != nil {
		return store.PublicKey{}, err
	}
	return store.ReadPublicKey(b.path(name))
}

// checkTrust reports what contradicts itself in why a store may be trusted.
func (b *builder) checkTrust(l *location, isDir bool) {
	signed, encrypted := len(l.PublicKeys) > 0, l.SecretFile != ""
	switch {
	case signed && encrypted:
		b.add(l.At, "documents are signed (publicKeys) or encrypted (secretFile), not both")
	case l.PrivateKeyFile != "" && !signed:
		b.add(l.At, "privateKeyFile needs publicKeys, and its public half is one of them")
	case (signed || encrypted) && l.Fleet == "":
		b.add(l.At, "fleet is missing: documents are signed or encrypted for one")
	case l.Fleet != "" && !signed && !encrypted:
		b.add(l.At, "fleet has no effect without publicKeys or secretFile")
	case signed && l.InsecureTrust:
		b.add(l.At, "insecureTrust has no effect with publicKeys")
	case isDir && !encrypted && l.InsecureTrust:
		b.add(l.At, "insecureTrust has no effect: a directory is trusted by its owner and mode")
	}
}

// opened opens a store that is not a directory.
func (b *builder) opened(l *location, at Location, fine bool) store.Store {
	u, err := url.Parse(l.URL)
	if err != nil || u.Scheme == "" { // the text is not repeated: it may hold a password
		b.add(l.At, "url is not a URL such as dir:PATH or rediss://HOST:PORT/0")
		return nil
	}
	if _, has := u.User.Password(); has {
		b.add(l.At, "url: a password belongs into a file of its own: passwordFile")
		return nil
	}
	open := b.openers[u.Scheme]
	if open == nil {
		open = b.openers[""]
	}
	if open == nil {
		known := slices.Sorted(maps.Keys(b.openers))
		b.add(l.At, "url: this program opens no store of the kind %q; it opens %s",
			u.Scheme, strings.Join(append([]string{dirScheme}, known...), ", "))
		return nil
	}
	if !fine || !b.open {
		return unopened{}
	}
	s, err := open(at)
	switch {
	case err != nil:
		b.add(l.At, "url: %w", err)
	case nils.Is(s):
		b.add(l.At, "url: Options.Stores[%q] returned no store and no error", u.Scheme)
	}
	return s
}

// wrap makes a store trusted.
func (l *location) wrap(inner store.Store, k storeKeys) store.Trusted {
	switch {
	case len(k.public) > 0:
		return store.Signed(inner, l.Fleet, k.private, k.public...)
	case k.secret != nil && l.InsecureTrust:
		return store.InsecureTrust(store.Encrypted(inner, l.Fleet, k.secret))
	case k.secret != nil:
		return store.Encrypted(inner, l.Fleet, k.secret)
	}
	if dir, ok := inner.(store.Trusted); ok {
		return dir
	}
	return store.InsecureTrust(inner)
}

// unopened is a store that stands for one which only a restart opens.
type unopened struct{}

var errUnopened = errors.New("configfile: the store is opened at the next start")

// Load implements store.Store.
func (unopened) Load(context.Context, string, string) ([]byte, string, error) {
	return nil, "", errUnopened
}

// Save implements store.Store.
func (unopened) Save(context.Context, string, []byte, string) (string, error) { return "", errUnopened }

// Watch implements store.Store.
func (unopened) Watch(ctx context.Context, _ string, _ func()) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", errUnopened, ctx.Err())
}
