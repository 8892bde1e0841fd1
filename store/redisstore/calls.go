package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

// The first element of the answer of a script.
const (
	isAbsent int64 = iota
	isThere
	isMalformed
	isTooLarge
	isConflict
)

// loadScript reads a document that is not too large, in one step and from the server itself: a cache of the client may answer a
// plain HGET. ARGV: the maximum length of a revision, the maximum length of data, "1" if the data is wanted.
var loadScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return {0} end
local rev = redis.call('HSTRLEN', KEYS[1], 'rev')
if rev == 0 or rev > tonumber(ARGV[1]) or redis.call('HEXISTS', KEYS[1], 'data') == 0 then return {2} end
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[2]) then return {3} end
if ARGV[3] ~= '1' then return {1, redis.call('HGET', KEYS[1], 'rev')} end
return {1, redis.call('HGET', KEYS[1], 'rev'), redis.call('HGET', KEYS[1], 'data')}
`)

// saveScript compares, writes and publishes. The client repeats a command if it lost the answer, so if the current revision is
// the new one, the document has been saved. Publishing is a hint and may fail. ARGV: the maximum length of a revision, the
// expected revision, the new one, the channel, the data.
var saveScript = redis.NewScript(`
local current = ''
if redis.call('EXISTS', KEYS[1]) == 1 then
	local rev = redis.call('HSTRLEN', KEYS[1], 'rev')
	if rev == 0 or rev > tonumber(ARGV[1]) then return {2} end
	current = redis.call('HGET', KEYS[1], 'rev')
end
if current == ARGV[3] then return {1} end
if current ~= ARGV[2] then return {4} end
redis.call('HSET', KEYS[1], 'rev', ARGV[3], 'data', ARGV[5])
redis.pcall('PUBLISH', ARGV[4], ARGV[3])
return {1}
`)

// errShape is the error of an answer that none of the scripts gives.
var errShape = errors.New("redisstore: the server sent an answer of the wrong shape")

// errNotADocument says that another type, or a hash without the fields of a document, is under the key: another writer was there.
var errNotADocument = fmt.Errorf("%w: the key does not hold a document; delete it and save again", store.ErrNotAuthentic)

// Load implements store.Store. It returns store.ErrNotFound, store.ErrNotModified, store.ErrNotAuthentic if the key, which the
// error names, does not hold a document, the error of ctx, or that of the client. If ifNot is not empty, it first requests the
// revision, and then, unless that is ifNot, the document; each request has Config.Timeout.
func (s *Store) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	if err := s.checkCall(ctx, name, nil); err != nil {
		return nil, "", err
	}
	if ifNot != "" {
		if fields, err := s.read(ctx, s.quick, name, 1, "0"); err == nil && fields[0] == ifNot {
			return nil, ifNot, fmt.Errorf("redisstore: %w", store.ErrNotModified)
		}
	}
	fields, err := s.read(ctx, s.client, name, 2, "1")
	if err != nil {
		return nil, "", err
	}
	return []byte(fields[1]), fields[0], nil
}

// read returns count fields of a document: the revision, and the data if wanted is "1".
func (s *Store) read(ctx context.Context, client redis.Scripter, name string, count int, wanted string) ([]string, error) {
	key := s.key(name)
	return s.run(ctx, key, nil, count, func(ctx context.Context, _ string) *redis.Cmd {
		return loadScript.RunRO(ctx, client, []string{key}, maxRevision, document.MaxData, wanted)
	})
}

// Save implements store.Store. It returns store.ErrConflict, store.ErrNotAuthentic if the key, which the error names, does not
// hold a document, the error of ctx, or that of the client. After one of the last two, the document may have been saved, or may
// be saved a little later unless another writer is faster; load it to find out.
func (s *Store) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	if err := s.checkCall(ctx, name, data); err != nil {
		return "", err
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // never fails
	revision := hex.EncodeToString(random)
	key := s.key(name)
	_, err := s.run(ctx, key, data, 0, func(ctx context.Context, text string) *redis.Cmd {
		return saveScript.Run(ctx, s.client, []string{key}, maxRevision, ifRevision, revision, channel(key), text)
	})
	if err != nil {
		return "", err
	}
	return revision, nil
}

// errNotMade is the error of a Store that is nil or zero.
var errNotMade = errors.New("redisstore: the Store is nil or zero: make it with redisstore.New")

// checkCall checks the arguments of a call, and the Store.
func (s *Store) checkCall(ctx context.Context, name string, data []byte) error {
	if s == nil || s.client == nil {
		return errNotMade
	}
	if err := document.Check(ctx, name, data); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return nil
}

// answer is what the client returned.
type answer struct {
	value any
	err   error
	late  bool
}

// run runs a script with data by the client, within the limits of time and calls, and returns the count strings of its answer.
func (s *Store) run(
	ctx context.Context, key string, data []byte, count int, script func(context.Context, string) *redis.Cmd,
) ([]string, error) {
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	select {
	case s.calls <- struct{}{}:
	case <-bounded.Done():
		cancel()
		return nil, s.ended(ctx, "no free call")
	}
	text := string(data) // a copy: the client may still read it when the call has returned
	answers := make(chan answer, 1)
	go func() {
		defer cancel()
		value, err := guarded(func() (any, error) { return script(bounded, text).Result() })
		<-s.calls
		answers <- answer{value, err, bounded.Err() != nil}
	}()
	select {
	case a := <-answers:
		if a.err != nil && a.late {
			return nil, s.ended(ctx, "no answer")
		}
		return parse(key, count, a)
	case <-bounded.Done():
	}
	select {
	case a := <-answers: // cancel was called after it
		if a.err == nil || !a.late {
			return parse(key, count, a)
		}
	default:
	}
	return nil, s.ended(ctx, "no answer")
}

// ended is the error of a call whose context or time has ended.
func (s *Store) ended(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return fmt.Errorf("redisstore: %s within %v: %w", what, s.timeout, context.DeadlineExceeded)
}

// parse returns the strings of an answer.
func parse(key string, count int, a answer) ([]string, error) {
	if redis.HasErrorPrefix(a.err, "WRONGTYPE") {
		return nil, fmt.Errorf("redisstore: %s: %w", key, errNotADocument)
	}
	if a.err != nil {
		return nil, clientError(a.err)
	}
	parts, ok := a.value.([]any)
	if !ok || len(parts) == 0 {
		return nil, errShape
	}
	switch parts[0] {
	case isAbsent:
		return nil, fmt.Errorf("redisstore: %w", store.ErrNotFound)
	case isMalformed:
		return nil, fmt.Errorf("redisstore: %s: %w", key, errNotADocument)
	case isTooLarge:
		return nil, fmt.Errorf("redisstore: %s: %w", key, document.ErrTooLarge)
	case isConflict:
		return nil, fmt.Errorf("redisstore: %w", store.ErrConflict)
	case isThere:
	default:
		return nil, errShape
	}
	if len(parts) != 1+count {
		return nil, errShape
	}
	texts := make([]string, count)
	for i, part := range parts[1:] {
		if texts[i], ok = part.(string); !ok {
			return nil, errShape
		}
	}
	if count > 0 && (texts[0] == "" || len(texts[0]) > maxRevision) {
		return nil, errShape
	}
	if count > 1 && len(texts[1]) > document.MaxData {
		return nil, fmt.Errorf("redisstore: %s: %w", key, document.ErrTooLarge)
	}
	return texts, nil
}

// maxErrorText is how much of the text of an error of the server is repeated, in bytes.
const maxErrorText = 200

// clientError wraps an error of the client. A server that does not know a command quotes its arguments, which may be a document.
// That part is removed, as is what is too long or cannot be printed, and then the error is not wrapped.
func clientError(err error) error {
	text, _, quoted := strings.Cut(err.Error(), ", with args beginning with")
	var answer redis.Error // what a server sent
	if !quoted && !errors.As(err, &answer) {
		return fmt.Errorf("redisstore: %w", err)
	}
	clean := strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text[:min(len(text), maxErrorText)])
	if clean != err.Error() {
		return fmt.Errorf("redisstore: %s", clean)
	}
	return fmt.Errorf("redisstore: %w", err)
}
