package jose

import "strings"

// Compact is a JWS in compact serialization (RFC 7515 section 7.1) whose three segments are not decoded yet.
type Compact struct {
	Header, Payload, Signature string
	Input                      string // what the signature is over: header and payload, with the dot between them
}

// Split finds the three segments, none of which is empty. A fourth is rejected without a look at the rest.
func Split(raw string) (c Compact, ok bool) {
	h, rest, ok1 := strings.Cut(raw, ".")
	p, s, ok2 := strings.Cut(rest, ".")
	ok = ok1 && ok2 && h != "" && p != "" && s != "" && strings.IndexByte(s, '.') < 0
	return Compact{h, p, s, raw[:min(len(h)+1+len(p), len(raw))]}, ok
}

// JWS is a decoded Compact.
type JWS struct {
	Text            string // header and payload
	Header, Payload string // of Text
	Input           []byte // what the signature is over; it belongs to the Buffer
	Signature       []byte // it belongs to the Buffer
}

// Buffer is the memory for one JWS, used for one after the other. The zero Buffer is ready for use.
type Buffer struct{ decoded, input []byte }

// NewBuffer returns a Buffer that holds tokens of n bytes without growing.
func NewBuffer(n int) Buffer { return Buffer{decoded: make([]byte, 0, n), input: make([]byte, 0, n)} }

// Size returns the size of the largest part.
func (b *Buffer) Size() int { return max(cap(b.decoded), cap(b.input)) }

// Decode decodes the segments, each of which must be canonical base64url. The result is valid until the next Decode, its
// strings for good.
func (b *Buffer) Decode(c Compact) (j JWS, ok bool) {
	all, err := AppendBase64(b.decoded[:0], c.Header)
	if err != nil {
		return JWS{}, false
	}
	endHeader := len(all)
	if all, err = AppendBase64(all, c.Payload); err != nil {
		return JWS{}, false
	}
	endPayload := len(all)
	if all, err = AppendBase64(all, c.Signature); err != nil {
		return JWS{}, false
	}
	b.decoded, b.input = all, append(b.input[:0], c.Input...)
	j.Text = string(all[:endPayload])
	j.Header, j.Payload = j.Text[:endHeader], j.Text[endHeader:]
	j.Input, j.Signature = b.input, all[endPayload:]
	return j, true
}

// DecodePadded is Decode for a kind of token whose segments are padded with "=" (RFC 4648 section 3.2), against RFC 7515
// section 2. Either every segment has the padding that it needs, or none has any. The signature is over the text as it was
// received.
func (b *Buffer) DecodePadded(c Compact) (j JWS, ok bool) {
	padded, bare := false, false
	for _, segment := range []*string{&c.Header, &c.Payload, &c.Signature} {
		text := *segment
		switch {
		case len(text)%4 != 0:
			bare = true
		case text[len(text)-1] == '=':
			padded = true
			*segment = strings.TrimSuffix(text[:len(text)-1], "=") // a third one is not in the alphabet
		}
	}
	if padded && bare {
		return JWS{}, false
	}
	return b.Decode(c)
}
