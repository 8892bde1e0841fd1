package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/store"
)

// maxLooks is how often Load reads a head whose chunks are not there.
const maxLooks = 4

// Load implements store.Store. It returns store.ErrNotFound, store.ErrNotModified, store.ErrNotAuthentic if another program wrote
// the item, whose key the error names, or changed the document, the error of ctx, or that of the client. A table that does not
// exist, or may not be read, is an error of the client.
func (s *Store) Load(ctx context.Context, name, ifNot string) ([]byte, string, error) {
	within, cancel, err := s.begin(ctx, name, nil)
	if err != nil {
		return nil, "", err
	}
	defer cancel()
	key := s.key(name)
	for n := range maxLooks {
		var h head
		if h, err = s.head(within, key); err != nil {
			break
		}
		if ifNot != "" && string(h.revision) == ifNot {
			return nil, ifNot, fmt.Errorf("dynamostore: %w", store.ErrNotModified)
		}
		var data []byte
		if data, err = s.data(within, key, h); err == nil {
			return data, string(h.revision), nil
		}
		if errors.Is(err, store.ErrNotAuthentic) {
			return nil, string(h.revision), s.failed(ctx, key, err)
		}
		if !errors.Is(err, errMissing) || n == maxLooks-1 {
			break
		}
		if ended := call.Pause(within, n); ended != nil {
			break
		}
	}
	return nil, "", s.failed(ctx, key, err)
}

// failed is the error of a call.
func (s *Store) failed(ctx context.Context, key string, err error) error {
	if ended := ctx.Err(); ended != nil {
		return fmt.Errorf("dynamostore: %w", ended)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("dynamostore: within %v: %w", s.timeout, err)
	}
	if errors.Is(err, store.ErrNotAuthentic) || errors.Is(err, errMissing) {
		return fmt.Errorf("dynamostore: %s: %w", key, err)
	}
	return fmt.Errorf("dynamostore: %w", err)
}

// head reads the head of a document.
func (s *Store) head(ctx context.Context, key string) (head, error) {
	out, err := call.Do(ctx, func() (*dynamodb.GetItemOutput, error) {
		return s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: &s.table, Key: keyItem(key), ConsistentRead: aws.Bool(true),
		}, s.options)
	})
	if err != nil {
		return head{}, err
	}
	if len(out.Item) == 0 {
		return head{}, store.ErrNotFound
	}
	return parseHead(out.Item)
}

// data returns the document of a head.
func (s *Store) data(ctx context.Context, key string, h head) ([]byte, error) {
	keys := h.revision.chunks(key)
	parts := make([][]byte, len(keys))
	left := slices.Clone(keys)
	for n := 0; len(left) > 0; n++ {
		if n > 0 {
			if err := call.Pause(ctx, n-1); err != nil {
				return nil, err
			}
		}
		found, more, err := s.chunks(ctx, left)
		if err != nil {
			return nil, err
		}
		for k, data := range found {
			if i := slices.Index(keys, k); i >= 0 {
				parts[i] = data
				left = slices.DeleteFunc(left, func(one string) bool { return one == k })
			}
		}
		if len(left) > 0 && !more {
			return nil, errMissing
		}
	}
	return h.whole(parts)
}

// chunks reads chunks. It reports whether the service has left out some that it may have.
func (s *Store) chunks(ctx context.Context, keys []string) (found map[string][]byte, more bool, err error) {
	asked := types.KeysAndAttributes{ConsistentRead: aws.Bool(true)}
	for _, k := range keys {
		asked.Keys = append(asked.Keys, keyItem(k))
	}
	out, err := call.Do(ctx, func() (*dynamodb.BatchGetItemOutput, error) {
		in := &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{s.table: asked}}
		return s.client.BatchGetItem(ctx, in, s.options)
	})
	if err != nil {
		return nil, false, err
	}
	found = map[string][]byte{}
	for _, items := range out.Responses {
		for _, i := range items {
			if data, _ := i[attrData].(*types.AttributeValueMemberB); data != nil {
				found[keyOf(i)] = data.Value
			}
		}
	}
	return found, len(out.UnprocessedKeys) > 0, nil
}
