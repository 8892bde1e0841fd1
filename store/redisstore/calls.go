package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/regionjwt/regionjwt/store"
)

// What a script answers first.
const (
	isAbsent int64 = iota
	isThere
	isMalformed
	isTooLarge
	isConflict
)

// loadScript reads at once and only what is not too large, from the server itself: a plain HGET may be answered by a cache of the
// client. ARGV: the most octets of a revision, the most octets of data, "1" if the data is wanted.
var loadScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return {0} end
local rev = redis.call('HSTRLEN', KEYS[1], 'rev')
if rev == 0 or rev > tonumber(ARGV[1]) or redis.call('HEXISTS', KEYS[1], 'data') == 0 then return {2} end
if redis.call('HSTRLEN', KEYS[1], 'data') > tonumber(ARGV[2]) then return {3} end
if ARGV[3] ~= '1' then return {1, redis.call('HGET', KEYS[1], 'rev')} end
return {1, redis.call('HGET', KEYS[1], 'rev'), redis.call('HGET', KEYS[1], 'data')}
`)

// saveScript compares, writes and publishes. The client repeats a command of which it lost the answer, so the second time that
// a revision comes it has been saved. Publishing is a hint, and may fail. ARGV: the most octets of a revision, the revision
// that is expected, the new one, the channel, the data.
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

// errShape is that of an answer which is none of our scripts'.
var errShape = errors.New("redisstore: the server gave an answer of a wrong shape")

// Load implements store.Store. Its errors are store.ErrNotFound, store.ErrTooLarge, ErrMalformed, that of ctx, or that of the
// client.
func (s *Store) Load(ctx context.Context, name string) (store.Document, error) {
	fields, err := s.read(ctx, name, true)
	if err != nil {
		return store.Document{}, err
	}
	return store.Document{Data: []byte(fields[1]), Revision: fields[0]}, nil
}

// Revision implements store.Reviser.
func (s *Store) Revision(ctx context.Context, name string) (string, error) {
	fields, err := s.read(ctx, name, false)
	if err != nil {
		return "", err
	}
	return fields[0], nil
}

// Save implements store.Store. Its errors are store.ErrConflict, store.ErrTooLarge, ErrMalformed, that of ctx, or that of the
// client. After one of the latter two the document may have been saved, or be saved a little later, unless
// another writer was faster: load it to see.
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

// read returns the revision of a document, and its data if it is wanted.
func (s *Store) read(ctx context.Context, name string, wantsData bool) ([]string, error) {
	if err := s.checkCall(ctx, name, nil); err != nil {
		return nil, err
	}
	client, key, count, flag := s.quick, s.key(name), 1, "0"
	if wantsData {
		client, count, flag = s.client, 2, "1"
	}
	return s.run(ctx, key, nil, count, func(ctx context.Context, _ string) *redis.Cmd {
		return loadScript.RunRO(ctx, client, []string{key}, maxRevision, store.MaxDocument, flag)
	})
}

// errNotMade is the error of a Store that is nil or zero.
var errNotMade = errors.New("redisstore: the Store is nil or zero: make it with redisstore.New")

// checkCall judges what every call is given, and the Store.
func (s *Store) checkCall(ctx context.Context, name string, data []byte) error {
	if s == nil || s.client == nil {
		return errNotMade
	}
	return checkCall(ctx, name, data)
}

// checkCall judges what every call is given.
func checkCall(ctx context.Context, name string, data []byte) error {
	if name == "" || len(name) > store.MaxName {
		return fmt.Errorf("redisstore: a name has 1 to %d octets: %w", store.MaxName, store.ErrTooLarge)
	}
	if len(data) > store.MaxDocument {
		return fmt.Errorf("redisstore: %w", store.ErrTooLarge)
	}
	return ctx.Err()
}

// answer is what the client returned.
type answer struct {
	value any
	err   error
	late  bool
}

// run has the client run a script with data, within bounds, and returns the strings that it answers, which are count.
func (s *Store) run(
	ctx context.Context, key string, data []byte, count int, script func(context.Context, string) *redis.Cmd,
) ([]string, error) {
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	select {
	case s.calls <- struct{}{}:
	case <-bounded.Done():
		cancel()
		return nil, s.ended(ctx, "no turn")
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
		return judge(key, count, a)
	case <-bounded.Done():
	}
	select {
	case a := <-answers: // cancel was called after it
		if a.err == nil || !a.late {
			return judge(key, count, a)
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

// judge takes the answer of a script apart.
func judge(key string, count int, a answer) ([]string, error) {
	if redis.HasErrorPrefix(a.err, "WRONGTYPE") {
		return nil, fmt.Errorf("redisstore: %s: %w", key, ErrMalformed)
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
		return nil, fmt.Errorf("redisstore: %s: %w", key, ErrMalformed)
	case isTooLarge:
		return nil, fmt.Errorf("redisstore: %s: %w", key, store.ErrTooLarge)
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
	if count > 1 && len(texts[1]) > store.MaxDocument {
		return nil, fmt.Errorf("redisstore: %s: %w", key, store.ErrTooLarge)
	}
	return texts, nil
}

// clientError wraps an error of the client. A server that does not know a command quotes its arguments, which may be a document:
// they are cut off, and that error is not wrapped.
func clientError(err error) error {
	if text, _, quoted := strings.Cut(err.Error(), ", with args beginning with"); quoted {
		return fmt.Errorf("redisstore: %s", text)
	}
	return fmt.Errorf("redisstore: %w", err)
}
