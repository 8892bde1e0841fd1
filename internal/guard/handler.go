package guard

import (
	"context"
	"log/slog"
)

// Handler returns a handler that passes everything to h, and recovers its panics. A record that h does not take is lost; the
// first one is reported to standard error. The handlers of its WithAttrs and WithGroup do the same. A nil h discards everything.
func Handler(h slog.Handler) slog.Handler {
	switch h := h.(type) {
	case nil:
		return slog.DiscardHandler
	case handler:
		return h
	}
	if h == slog.DiscardHandler {
		return h
	}
	return handler{h}
}

// Logger returns a logger that writes to the handler of l by Handler. A nil l is silent.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(Handler(l.Handler()))
}

const what = "the log handler"

type handler struct{ inner slog.Handler }

// Enabled implements slog.Handler. It is false where the handler inside panics.
func (h handler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	Report(Call(what, func() { enabled = h.inner.Enabled(ctx, level) }))
	return enabled
}

// Handle implements slog.Handler. The handler inside runs in a goroutine of its own, which it may end.
func (h handler) Handle(ctx context.Context, r slog.Record) (err error) {
	var failed error
	if err := Apart(what, func() { failed = h.inner.Handle(ctx, r) }); err != nil {
		Report(err)
		return err
	}
	return failed
}

// WithAttrs implements slog.Handler.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func() slog.Handler { return h.inner.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h handler) WithGroup(name string) slog.Handler {
	return h.with(func() slog.Handler { return h.inner.WithGroup(name) })
}

// with returns what the handler inside makes, or h where it panics.
func (h handler) with(build func() slog.Handler) (next slog.Handler) {
	next = h
	Report(Call(what, func() {
		if made := build(); made != nil {
			next = Handler(made)
		}
	}))
	return next
}
