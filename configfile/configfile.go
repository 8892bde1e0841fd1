// Package configfile reads the configuration of a Validator from a JSON file: providers, regions, policies, audiences, keys,
// stores, revocation, failover, monitors, and the load balancers of AWS. Services, authorizers and the command regionjwt read the
// same file, so that one description of what is trusted is used everywhere.
//
// The members of the file have the names of the fields of [regionjwt.Config], in lower case at their beginning: "maxStale" of
// "keys" is Keys.MaxStale. Durations are strings: "15m". [Schema] describes every member. Unknown members, members that are there
// twice and values of another type are errors. [Open] reports all of them at once, with the line and the path of the
// member; problems with values follow when there are none of these.
//
// Secrets are not in the file: it names other files that hold them. Relative paths are below the directory of the file. The file
// says whom to trust, so other users must not be able to change it.
//
// What a file cannot say is said in code, by [Options].Edit: checks, hooks, a logger. While [File.Follow] runs, or by
// [File.Reload], a changed file replaces the policies, and no key is lost. A file with a problem changes nothing. A change of
// another member is reported as [ErrRestart].
package configfile

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt"
	"github.com/regionjwt/regionjwt/internal/guard"
	"github.com/regionjwt/regionjwt/store"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors and for checks before a file is deployed.
func Schema() []byte { return slices.Clone(schema) }

// ErrRestart says that members other than policies have changed, which the next start of the process will use. The policies have
// been replaced all the same.
var ErrRestart = errors.New("needs a restart")

// Options say how a file is read. The zero value of every field is the default.
type Options struct {
	// Stores opens the stores that the file names, by the scheme of their URL: "redis", "dynamodb". The one under "" opens those
	// of any other scheme. A function is called once for each store, by Open, and does no I/O. Directories (dir:PATH) need none.
	Stores map[string]func(Location) (store.Store, error)

	// Convert makes JSON of a file in another format, such as YAMLToJSON of sigs.k8s.io/yaml. Nil means that the file is JSON.
	// Problems are reported with the lines of the JSON.
	Convert func([]byte) ([]byte, error)

	// Edit completes what the file says: Policy.Check, hooks, a Logger. It is called by Open, and each time that the file is read
	// later. It must do the same each time, because its policies replace those in effect. An error means that the file is not
	// used. Nil changes nothing.
	Edit func(*regionjwt.Config) error

	// PollInterval is the time between two looks of Follow at the file. A change is applied when two looks have seen the same. 0
	// means 5 seconds; the minimum is 100 ms. A negative value means that Follow waits for signals only.
	PollInterval time.Duration

	// OnReload is called after each attempt to use a changed file: with nil if it is in effect, with an error that wraps
	// ErrRestart if only its policies are, and with another error if nothing has changed. It is called from the goroutine of
	// Reload or Follow. A panic is recovered. Nil is fine.
	OnReload func(error)
}

const (
	defaultPoll = 5 * time.Second
	minPoll     = 100 * time.Millisecond
)

// File is a configuration file in use, and the Validator that it configures. It is safe for concurrent use.
type File struct {
	path      string
	options   Options
	validator *regionjwt.Validator
	root      *node   // of the file that Open read
	files     digests // that only a restart uses, as Open read them

	loadBalancers map[string]LoadBalancers // by the ID of the provider, as Open read them

	reloading sync.Mutex // guards kept and inForce
	kept      kept
	inForce   string // what decides the policies in effect, as one text

	mu     sync.Mutex // guards what follows; not held while code of others runs
	seen   digests    // of what the last attempt read
	config regionjwt.Config
}

// Open reads a file and makes its Validator, which the caller runs. It returns every problem with the file as one joined error;
// problems that only regionjwt.New finds have no line. It opens no connection, and starts no goroutine.
func Open(path string, o Options) (*File, error) {
	if o.PollInterval > 0 && o.PollInterval < minPoll {
		return nil, fmt.Errorf("configfile: PollInterval is %v: use 0 for the default, or %v or more", o.PollInterval, minPoll)
	}
	for scheme, open := range o.Stores {
		if open == nil || scheme == dirScheme {
			return nil, fmt.Errorf("configfile: Stores[%q] is nil, or has a scheme that cannot be used", scheme)
		}
	}
	f := &File{path: path, options: o}
	f.options.Stores = maps.Clone(o.Stores)
	r, err := f.read(true)
	if err != nil {
		return nil, err
	}
	f.validator, f.root, f.files, f.config = r.validator, r.root, r.kept.files, r.config
	f.loadBalancers = r.loadBalancers
	f.take(r)
	return f, nil
}

// Validator returns the Validator that the file configures. It is the same for the life of the File.
func (f *File) Validator() *regionjwt.Validator {
	if f == nil {
		return nil
	}
	return f.validator
}

// Config returns the configuration in effect, with what Options.Edit has set. It is for looking: a Validator that is made of it
// is not reloaded.
func (f *File) Config() regionjwt.Config {
	if f == nil {
		return regionjwt.Config{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.config
	c.Policies, c.Failover = slices.Clone(c.Policies), maps.Clone(c.Failover)
	return c
}

// take makes a reading the one in effect. The caller holds reloading.
func (f *File) take(r *reading) {
	f.kept, f.inForce = r.kept, r.inForce
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config.Policies = r.config.Policies
}

// reading is a file that was read, and has no problem.
type reading struct {
	root      *node
	kept      kept
	config    regionjwt.Config
	validator *regionjwt.Validator
	inForce   string

	loadBalancers map[string]LoadBalancers
}

// read reads the file and checks all of it. Stores are opened only if open is set. The caller holds reloading.
func (f *File) read(open bool) (*reading, error) {
	seen := digests{}
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seen = seen
	}()
	data, err := seen.note(f.path, maxFile, change)
	if err != nil {
		return nil, fmt.Errorf("configfile: %w", err)
	}
	root, doc, problems := f.parse(data)
	if len(problems) > 0 {
		return nil, f.failed(problems...)
	}
	b := &builder{
		kept: newKept(), before: f.kept, dir: filepath.Dir(f.path), openers: f.options.Stores, open: open,
		stores: map[string]store.Trusted{}, inner: map[string]store.Store{},
	}
	r := &reading{root: root, config: b.config(doc), kept: b.kept}
	r.loadBalancers = b.loadBalancersOf(doc, r.config.Policies)
	maps.Copy(seen, r.kept.files)
	maps.Copy(seen, r.kept.policies)
	if len(b.problems) > 0 {
		return nil, f.failed(b.problems...)
	}
	if f.options.Edit != nil {
		var problem error
		panicked := guard.Call("Options.Edit", func() { problem = f.options.Edit(&r.config) })
		if panicked != nil || problem != nil {
			return nil, f.failed(panicked, problem)
		}
	}
	checked := r.config
	if !open {
		checked.WrapKeys = nil // this Validator only checks the configuration: nothing of it is used
		checked.Logger = nil   // Validator.Update logs what is new
	}
	if r.validator, err = regionjwt.New(checked); err != nil {
		return nil, f.failed(err)
	}
	r.inForce = root.find("policies").description() + fmt.Sprint(r.kept.policies)
	return r, nil
}

// parse reads a document, and reports every problem with its form.
func (f *File) parse(data []byte) (*node, *document, []error) {
	if f.options.Convert != nil {
		var problem error
		panicked := guard.Call("Options.Convert", func() { data, problem = f.options.Convert(data) })
		if panicked != nil || problem != nil {
			return nil, nil, []error{panicked, problem}
		}
	}
	root, problems := read(data)
	if root == nil {
		return nil, nil, problems
	}
	d, doc := &decoder{problems: problems}, &document{}
	d.value(root, "", reflect.ValueOf(doc).Elem())
	return root, doc, d.problems
}

func (f *File) failed(problems ...error) error {
	return fmt.Errorf("configfile: %s: %w", f.path, errors.Join(byLine(problems)...))
}
