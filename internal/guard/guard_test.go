package guard_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// angry is a panic value that must not be written anywhere.
type angry struct{ secret string }

func (a angry) Error() string  { panic("the text of a panic was asked for") }
func (a angry) String() string { panic("the text of a panic was asked for") }

// A panic is an error that names the function and the type of the value, and nothing else of it.
func TestPanicIsAnError(t *testing.T) {
	t.Parallel()
	for text, value := range map[string]any{
		"the hook panicked (string)":                 "s3cret",
		"the hook panicked (*errors.errorString)":    errors.New("s3cret"),
		"the hook panicked (guard_test.angry)":       angry{"s3cret"},
		"the hook panicked (*runtime.PanicNilError)": nil,
		"the hook panicked ([]int)":                  []int{1},
	} {
		for name, call := range map[string]func(string, func()) error{"Call": guard.Call, "Apart": guard.Apart} {
			err := call("the hook", func() { panic(value) })
			require.EqualError(t, err, text, name)
			var p *guard.Panic
			require.ErrorAs(t, err, &p)
			require.Equal(t, "the hook", p.What)
			require.NoError(t, errors.Unwrap(err), "what the value wraps decides nothing")
			if value != nil {
				require.Equal(t, value, p.Value)
			}
		}
	}
}

func TestWhatReturnsIsNoPanic(t *testing.T) {
	t.Parallel()
	called := 0
	require.NoError(t, guard.Call("the hook", func() { called++ }))
	require.NoError(t, guard.Apart("the hook", func() { called++ }))
	require.Equal(t, 2, called)
}

// Apart survives what ends a goroutine; Call lets it end.
func TestGoexit(t *testing.T) {
	t.Parallel()
	err := guard.Apart("the hook", runtime.Goexit)
	require.EqualError(t, err, "the hook ended its goroutine")
	ended := make(chan bool, 1)
	go func() {
		defer close(ended)
		_ = guard.Call("the hook", runtime.Goexit)
		ended <- false
	}()
	_, returned := <-ended
	require.False(t, returned)
}

func TestCallAllocatesNothing(t *testing.T) {
	n := 0
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = guard.Call("the hook", func() { n++ }) }))
}

// broken is a handler that panics where its fields say so.
type broken struct {
	slog.Handler
	enabled, handle, attrs, group func()
}

func (b broken) run(f func()) {
	if f != nil {
		f()
	}
}

func (b broken) Enabled(ctx context.Context, l slog.Level) bool {
	b.run(b.enabled)
	return b.Handler.Enabled(ctx, l)
}

func (b broken) Handle(ctx context.Context, r slog.Record) error {
	b.run(b.handle)
	return b.Handler.Handle(ctx, r)
}

func (b broken) WithAttrs(a []slog.Attr) slog.Handler {
	b.run(b.attrs)
	b.Handler = b.Handler.WithAttrs(a)
	return b
}

func (b broken) WithGroup(name string) slog.Handler {
	b.run(b.group)
	b.Handler = b.Handler.WithGroup(name)
	return b
}

// A log handler may panic or end its goroutine wherever it is called, and so may those that it makes; it is reported once.
func TestHandlerPanics(t *testing.T) {
	bad := func() { panic(angry{"s3cret"}) }
	for name, c := range map[string]struct {
		broken broken
		logs   bool
	}{
		"Enabled":   {broken{enabled: bad}, false},
		"Handle":    {broken{handle: bad}, false},
		"Goexit":    {broken{handle: runtime.Goexit}, false},
		"WithAttrs": {broken{attrs: bad}, true},
		"WithGroup": {broken{group: bad}, true},
	} {
		var out, reports bytes.Buffer
		restore := guard.SetStderr(&reports)
		c.broken.Handler = slog.NewTextHandler(&out, nil)
		l := guard.Logger(slog.New(c.broken))
		for range 3 {
			l.Info("plain")
			l.With("a", 1).WithGroup("g").With("b", 2).Info("derived")
		}
		restore()
		require.Equal(t, c.logs, out.Len() > 0, name)
		want := "regionjwt: the log handler panicked (guard_test.angry); it is ignored, and not reported again\n"
		if name == "Goexit" {
			want = "regionjwt: the log handler ended its goroutine; it is ignored, and not reported again\n"
		}
		require.Equal(t, want, reports.String(), name)
	}
}

// refusing is a handler that takes nothing, and makes no other one.
type refusing struct{ slog.Handler }

func (refusing) Enabled(context.Context, slog.Level) bool  { return true }
func (refusing) Handle(context.Context, slog.Record) error { return io.ErrClosedPipe }
func (refusing) WithAttrs([]slog.Attr) slog.Handler        { return nil }
func (refusing) WithGroup(string) slog.Handler             { return nil }

// What does not panic is passed on as it is: attributes, groups, errors.
func TestHandlerPassesOn(t *testing.T) {
	t.Parallel()
	var plain, guarded bytes.Buffer
	for out, wrap := range map[*bytes.Buffer]func(slog.Handler) slog.Handler{
		&plain: func(h slog.Handler) slog.Handler { return h }, &guarded: guard.Handler,
	} {
		options := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}
		l := slog.New(wrap(slog.NewTextHandler(out, options)))
		l.Debug("not enabled")
		l.Info("one", "a", 1)
		l.WithGroup("g").With("b", 2).Warn("two", "c", 3)
	}
	require.Contains(t, guarded.String(), "g.c=3")
	require.Equal(t, plain.String(), guarded.String())

	h := guard.Handler(refusing{})
	require.ErrorIs(t, h.Handle(t.Context(), slog.Record{}), io.ErrClosedPipe)
	require.NotNil(t, h.WithAttrs(nil))
	require.NotNil(t, h.WithGroup("g"))
	require.Equal(t, h, guard.Handler(h), "it is not wrapped twice")
	require.False(t, guard.Handler(nil).Enabled(t.Context(), slog.LevelError))
	require.False(t, guard.Logger(nil).Enabled(t.Context(), slog.LevelError))
}

// Report writes a line for each What, and nothing for other errors.
func TestReport(t *testing.T) {
	var out bytes.Buffer
	defer guard.SetStderr(&out)()
	guard.Report(nil)
	guard.Report(errors.New("s3cret"))
	require.Empty(t, out.String())
	for range 2 {
		guard.Report(&guard.Panic{What: "the hook Verified", Value: "s3cret"})
		guard.Report(&guard.Panic{What: "the hook Drifted", Value: 1})
	}
	require.Equal(t, "regionjwt: the hook Verified panicked (string); it is ignored, and not reported again\n"+
		"regionjwt: the hook Drifted panicked (int); it is ignored, and not reported again\n", out.String())
}
