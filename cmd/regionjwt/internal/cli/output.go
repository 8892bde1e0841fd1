package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// output is standard output. It keeps the first error.
type output struct {
	io.Writer
	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// lost is why something could not be written, or nil.
func (o *output) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

// appendSafe appends text with every rune escaped, as JSON does it, that could do anything to a terminal: control characters,
// those that turn the direction of writing, those that cannot be seen.
func appendSafe(dst []byte, text string) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case unicode.IsPrint(r) && r != utf8.RuneError:
			dst = append(dst, text[:size]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, high, low)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		text = text[size:]
	}
	return dst
}

// SafeText is text that is harmless on a terminal. Line breaks become semicolons.
func SafeText(text string) string {
	return string(appendSafe(nil, strings.ReplaceAll(text, "\n", "; ")))
}

// Quoted is a value for people: as it is, or in quotes with what is not printable escaped, so that no two values look alike.
func Quoted(value string) string {
	safe := string(appendSafe(nil, value))
	if safe == value && !strings.HasPrefix(value, `"`) {
		return value
	}
	return string(appendSafe([]byte{'"'}, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))) + `"`
}

// maxClip is how many bytes of what was typed an error repeats at most: a token in the wrong place loses its signature.
const maxClip = 60

// Clip is a short and harmless piece of a text.
func Clip(text string) string { return clip(text) }

func clip(text string) string {
	if len(text) > maxClip {
		text = text[:maxClip] + "..."
	}
	return SafeText(text)
}

// SafeJSON lays JSON out, and escapes what appendSafe does. It must be valid.
func SafeJSON(doc []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, doc, "", "  "); err != nil {
		return nil, err
	}
	var out []byte
	for line := range strings.SplitSeq(strings.TrimRight(b.String(), "\n"), "\n") { // none within a text
		out = append(appendSafe(out, line), '\n')
	}
	return out, nil
}

// WriteJSON writes a document for programs.
func (c *Call) WriteJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	out, err := SafeJSON(b.Bytes())
	if err != nil {
		return err
	}
	_, err = c.Out.Write(out)
	return err
}

// Printf writes to standard output. Arguments that are strings are made safe.
func (c *Call) Printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Out, format, safeArgs(args)...)
}

// Notef writes to standard error, where people look and machines do not.
func (c *Call) Notef(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Err, format, safeArgs(args)...)
}

func safeArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		if s, ok := a.(string); ok {
			a = SafeText(s)
		}
		out[i] = a
	}
	return out
}

// Stamp writes a time for people.
func Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Ago writes how far t is from now, for people.
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in " + short(-d)
	}
	return short(d) + " ago"
}

func short(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.Round(time.Second).String()
}
