package configfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/internal/guard"
)

var errNotOpen = errors.New("configfile: the File was not made by configfile.Open")

// Reload reads the file again. If it has no problem, it replaces the policies, unless they are the same; key sets whose URLs stay
// keep their keys. Otherwise nothing changes. The error wraps ErrRestart, and names the members, if others have changed since
// Open.
func (f *File) Reload() error {
	if f == nil || f.validator == nil {
		return errNotOpen
	}
	f.reloading.Lock()
	err := f.reload()
	f.reloading.Unlock()
	log := guard.Logger(f.Config().Logger)
	switch {
	case err == nil:
		log.Info("configuration file is in effect", slog.String("file", f.path))
	case errors.Is(err, ErrRestart):
		log.Warn("configuration file needs a restart", slog.String("file", f.path), slog.Any("problem", err))
	default:
		log.Error("configuration file is not used", slog.String("file", f.path), slog.Any("problem", err))
	}
	if f.options.OnReload != nil {
		guard.Report(guard.Call("the hook Options.OnReload", func() { f.options.OnReload(err) }))
	}
	return err
}

// reload is Reload. The caller holds reloading.
func (f *File) reload() error {
	r, err := f.read(false)
	if err != nil {
		return err
	}
	if r.inForce != f.inForce {
		if err := f.validator.Update(r.config.Policies); err != nil {
			return f.failed(err)
		}
	}
	f.take(r)
	var changed []string
	for _, path := range differences("", f.root, r.root) {
		if path != "$schema" && path != "policies" {
			changed = append(changed, path)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(f.files)) {
		if now, there := r.kept.files[file]; there && now != f.files[file] {
			changed = append(changed, "the content of "+file)
		}
	}
	if len(changed) > 0 {
		return f.failed(fmt.Errorf("%w, because there was a change of %s", ErrRestart, strings.Join(changed, ", ")))
	}
	return nil
}

// Follow reloads the file when it has changed, or a file that it names, and for each signal, until ctx ends, and returns ctx's
// error. Signals are what signal.Notify sends, of SIGHUP for example; nil is fine. A change is found by polling, so that a file
// may be replaced in any way: see Options.PollInterval. Problems are logged to Config.Logger, and go to Options.OnReload.
func (f *File) Follow(ctx context.Context, signals <-chan os.Signal) error {
	if f == nil || f.validator == nil {
		return errNotOpen
	}
	interval := cmp.Or(f.options.PollInterval, defaultPoll)
	var ticks <-chan time.Time
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	var last digests
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, open := <-signals:
			if !open {
				signals = nil
				continue
			}
			_ = f.Reload() // it reports by itself
		case <-ticks:
			now, changed := f.look()
			if changed && maps.Equal(now, last) { // a file that is being written is left alone
				_ = f.Reload() // it reports by itself
			}
			last = now
		}
	}
}

// look reads the files, and reports whether the last attempt read something else.
func (f *File) look() (now digests, changed bool) {
	f.mu.Lock()
	seen := maps.Clone(f.seen)
	f.mu.Unlock()
	now = digests{}
	for path, was := range seen {
		_, _ = now.note(path, maxFile, was.forbidden)
	}
	return now, !maps.Equal(now, seen)
}
