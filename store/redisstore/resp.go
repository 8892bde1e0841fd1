package redisstore

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/regionjwt/regionjwt/internal/document"
)

// Bounds of one reply of a server. They leave room for the largest document, and for the replies that describe a cluster.
const (
	maxReply    = document.MaxData + 1<<20 // bytes, headers included
	maxLine     = 64 << 10                 // bytes of a line, its end included
	maxElements = 1 << 18                  // elements of all arrays, sets and maps of a reply, as declared
	maxDepth    = 32                       // arrays, sets and maps in each other
	maxHeader   = 16                       // bytes of a line that declares a length, its end included
	maxPushes   = 4096                     // pushes in a row that are not messages of a subscription
)

// errReply is wrapped by the error of every reply that breaks the protocol or a bound.
var errReply = errors.New("redisstore: the server sent a malformed reply")

// framing reads a stream of replies (RESP2 and RESP3) as far as it takes to know where each ends. It holds the start of one line,
// and allocates nothing that a server declares.
type framing struct {
	kind     byte   // of the line that is being read; 0 between two lines
	header   []byte // what came after kind, where the line declares a length
	line     int    // bytes of the line so far
	last     byte   // the last byte of the line so far
	bulk     int    // bytes that are left of a bulk string, its end included
	open     []int  // for each aggregate that is open: how many of its elements are left
	naming   bool   // the first element of a push is being read
	name     []byte // the start of that element
	size     int    // of this reply so far
	elements int    // of this reply that were declared so far
	push     bool   // this reply is a push
	pushes   int    // in a row so far, without messages of subscriptions
}

// take reads on. After an error the stream cannot be read any further.
func (f *framing) take(p []byte) error {
	for len(p) > 0 {
		step := f.takeLine
		if f.bulk > 0 {
			step = f.takeBulk
		}
		n, err := step(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// takeLine reads up to the end of a line, or of p.
func (f *framing) takeLine(p []byte) (n int, err error) {
	end := bytes.IndexByte(p, '\n')
	n = end + 1
	if end < 0 {
		n = len(p)
	}
	rest := p[:n]
	if f.line == 0 {
		f.kind, f.header, rest = p[0], f.header[:0], rest[1:]
		if !isKind(f.kind) {
			return 0, fmt.Errorf("%w: %q begins no reply", errReply, f.kind)
		}
	}
	f.note(rest)
	f.line += n
	f.size += n
	most := maxLine
	if declaresLength(f.kind) {
		most = maxHeader
	}
	if f.line > most || f.size > maxReply {
		return 0, fmt.Errorf("%w: a line or the reply is too long", errReply)
	}
	if declaresLength(f.kind) {
		f.header = append(f.header, rest...)
	}
	before := f.last
	if len(rest) > 1 {
		before = rest[len(rest)-2]
	}
	f.last = p[n-1]
	if end < 0 {
		return n, nil
	}
	if before != '\r' || f.line < 3 {
		return 0, fmt.Errorf("%w: a line does not end with CR LF", errReply)
	}
	f.line, f.last = 0, 0
	return n, f.endLine()
}

// isKind reports whether a reply may begin with b. Attributes and streamed replies are not among them: no server sends them
// unasked, and the client follows them without a bound.
func isKind(b byte) bool { return bytes.IndexByte([]byte("+-:_#,("), b) >= 0 || declaresLength(b) }

func declaresLength(kind byte) bool { return bytes.IndexByte([]byte("$!=*~>%"), kind) >= 0 }

// endLine takes in what the line says that has ended.
func (f *framing) endLine() error {
	if !declaresLength(f.kind) {
		return f.endElement()
	}
	f.name = f.name[:0]
	text := string(bytes.TrimSuffix(f.header, []byte("\r\n")))
	if text == "-1" && (f.kind == '$' || f.kind == '*') {
		return f.endElement()
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("%w: a length is no number", errReply)
	}
	length := int(n)
	switch f.kind {
	case '$', '!', '=':
		if length > maxReply-f.size {
			return fmt.Errorf("%w: a string is too long", errReply)
		}
		f.bulk = length + 2
		return nil
	case '%':
		return f.enter(2 * length)
	}
	return f.enter(length)
}

// enter begins an aggregate.
func (f *framing) enter(elements int) error {
	switch {
	case f.kind == '>' && len(f.open) > 0:
		return fmt.Errorf("%w: a push is inside another reply", errReply)
	case f.kind == '>' && f.pushes == maxPushes:
		return fmt.Errorf("%w: there are too many pushes in a row", errReply)
	case elements > maxElements-f.elements:
		return fmt.Errorf("%w: it declares too many elements", errReply)
	case elements > 0 && len(f.open) == maxDepth:
		return fmt.Errorf("%w: it is nested too deeply", errReply)
	}
	if f.kind == '>' {
		f.push = true
		f.pushes++
	}
	if elements == 0 {
		return f.endElement()
	}
	f.elements += elements
	f.open = append(f.open, elements)
	f.naming = f.kind == '>'
	return nil
}

// endElement takes in that a reply, or an element of one, is complete.
func (f *framing) endElement() error {
	if f.naming {
		f.naming = false
		name := string(bytes.TrimPrefix(bytes.TrimSuffix(f.name, []byte("\r\n")), []byte("txt:")))
		f.name = f.name[:0]
		if slices.Contains(refusedPushes, name) {
			return fmt.Errorf("%w: a push %s", errReply, name)
		}
		if slices.Contains(messagePushes, name) {
			f.pushes--
		}
	}
	for last := len(f.open) - 1; last >= 0; last-- {
		if f.open[last]--; f.open[last] > 0 {
			return nil
		}
		f.open = f.open[:last]
	}
	if !f.push {
		f.pushes = 0
	}
	f.size, f.elements, f.push = 0, 0, false
	return nil
}

// messagePushes are names of pushes that belong to subscriptions, which may get any number of them. The client hands them to
// its subscribers, and reads all others in a loop of its own, for as long as there is one.
var messagePushes = []string{
	"message", "pmessage", "smessage", "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe",
}

// refusedPushes are names of pushes that the client acts on beyond what can be checked here. At MOVING it connects to wherever
// the server says, by a dialer of its own, so that nothing would check the replies from there, and remembers it. It remembers
// each SMIGRATED for as long as it lives.
var refusedPushes = []string{"MOVING", "SMIGRATED"}

// note keeps the start of what names a push.
func (f *framing) note(p []byte) {
	if f.naming {
		f.name = append(f.name, p[:min(len(p), maxHeader-len(f.name))]...)
	}
}

// takeBulk reads up to the end of a bulk string, or of p.
func (f *framing) takeBulk(p []byte) (n int, err error) {
	n = min(len(p), f.bulk)
	for i := max(0, f.bulk-2); i < f.bulk && i < n; i++ {
		if p[i] != "\r\n"[2-(f.bulk-i)] {
			return 0, fmt.Errorf("%w: a string does not end with CR LF", errReply)
		}
	}
	f.note(p[:n])
	f.bulk -= n
	f.size += n
	if f.bulk == 0 {
		return n, f.endElement()
	}
	return n, nil
}
