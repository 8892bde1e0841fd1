package main

import (
	"errors"
	"time"

	"github.com/regionjwt/regionjwt/internal/jose"
)

// kind is what a token is to show. Tables are in this order.
type kind string

const (
	userKind      kind = "user"
	machineKind   kind = "machine"
	briefKind     kind = "expiring"
	revokedKind   kind = "being revoked"
	withdrawnKind kind = "withdrawn key"
	expiredKind   kind = "expired"
	audienceKind  kind = "other audience"
	forgedKind    kind = "forged"
	malformedKind kind = "malformed"
	issuerKind    kind = "other issuer"
	strangerKind  kind = "unknown key"
	streamKind    kind = "stream"
)

var kinds = []kind{
	userKind, machineKind, briefKind, revokedKind, withdrawnKind, expiredKind, audienceKind, forgedKind, malformedKind,
	issuerKind, strangerKind, streamKind,
}

// token is a token, and what is true of it.
type token struct {
	raw     string
	kind    kind
	region  *region // nil where the token is nobody's
	key     *key    // that signed it; nil where it is nobody's
	expires time.Time
	id, sub string

	bad, unpublished bool
	revokedFrom      moment
	revokedBy        moment
}

// facts are what is true of t in a call from begin to end.
func (t *token) facts(begin, end time.Time, down bool) facts {
	f := facts{Bad: t.bad, Unpublished: t.unpublished, Down: down, Expires: t.expires}
	if t.key == nil {
		return f
	}
	f.Withdrawn = t.key.withdrawn.get()
	if !t.bad {
		f.RevokedFrom, f.RevokedBy, f.Gone = t.revokedFrom.get(), t.revokedBy.get(), t.key.gone.get()
		f.Unknowable, f.TooNew = t.region.past.unknowable(t.key, begin, end), t.region.past.tooNew(t.key, begin, end)
	}
	return f
}

// kindAt is the kind by which the token is counted.
func (t *token) kindAt(now time.Time) kind {
	switch {
	case t.bad || t.unpublished:
		return t.kind
	case t.kind == briefKind && now.After(t.expires.Add(leeway)):
		return expiredKind
	case t.key.withdrawn.before(now):
		return withdrawnKind
	case t.revokedFrom.before(now):
		return revokedKind
	}
	return t.kind
}

// header and claims are what the driver reads of a token.
type (
	header struct {
		KeyID string `json:"kid"`
	}
	claims struct {
		ID      string `json:"jti"`
		Subject string `json:"sub"`
		Expires int64  `json:"exp"`
	}
)

var errNotToken = errors.New("not a token")

// read reads a token without judging it.
func read(raw string) (h header, c claims, err error) {
	var buffer jose.Buffer
	compact, ok := jose.Split(raw)
	jws, decoded := buffer.Decode(compact)
	if !ok || !decoded || decode([]byte(jws.Header), &h) != nil || decode([]byte(jws.Payload), &c) != nil {
		return h, c, errNotToken
	}
	return h, c, nil
}
