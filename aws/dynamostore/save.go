package dynamostore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/regionjwt/regionjwt/aws/internal/call"
	"github.com/regionjwt/regionjwt/store"
)

// Save implements store.Store. It returns store.ErrConflict, store.ErrNotAuthentic if another program wrote the item, whose key
// the error names, the error of ctx, or that of the client. After one of the last two, the document may have been saved, or may
// be saved a little later unless another writer is faster; load it to find out. A write whose answer was lost, and that the
// client repeated, is no conflict.
func (s *Store) Save(ctx context.Context, name string, data []byte, ifRevision string) (string, error) {
	within, cancel, err := s.begin(ctx, name, data)
	if err != nil {
		return "", err
	}
	defer cancel()
	previous, ok := parseRevision(ifRevision)
	if !ok && ifRevision != "" {
		return "", fmt.Errorf("dynamostore: %w", store.ErrConflict) // no document has this revision
	}
	inline, chunks := split(data)
	h := head{revision: newRevision(len(chunks)), previous: previous, sum: sha256.Sum256(data), data: inline}
	key := s.key(name)
	if err := s.saveChunks(within, h.revision.chunks(key), chunks); err != nil {
		s.drop(within, h.revision.chunks(key))
		return "", s.failed(ctx, key, err)
	}
	replaced, err := s.replace(within, key, h, ifRevision)
	if err != nil {
		err = s.settle(within, key, h, err)
	}
	switch {
	case err == nil:
		s.drop(within, replaced.chunks(key))
		return string(h.revision), nil
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotAuthentic):
		s.drop(within, h.revision.chunks(key))
	}
	return "", s.failed(ctx, key, err)
}

// replace replaces the head of a document. It returns the revision before the last one, whose chunks nobody needs any more.
func (s *Store) replace(ctx context.Context, key string, h head, ifRevision string) (revision, error) {
	in := &dynamodb.PutItemInput{
		TableName: &s.table, Item: h.item(key), ReturnValues: types.ReturnValueAllOld,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		ConditionExpression:                 aws.String("attribute_not_exists(" + attrKey + ")"),
	}
	if ifRevision != "" {
		in.ConditionExpression = aws.String(attrRevision + " = :r")
		in.ExpressionAttributeValues = item{":r": &types.AttributeValueMemberS{Value: ifRevision}}
	}
	out, err := call.Do(ctx, func() (*dynamodb.PutItemOutput, error) { return s.client.PutItem(ctx, in, s.options) })
	if err != nil {
		return "", err
	}
	old, err := parseHead(out.Attributes)
	if err != nil { // there was no document
		return "", nil
	}
	return old.previous, nil
}

// settle finds out what an error of replace means. The client repeats a request whose answer was lost, and the second one then
// fails because the first one did not: if the head that is there is h, it was saved. Otherwise, a failed condition is a conflict,
// as is a write in another Region at the same time. After any other error the document may be saved later, and the error stays.
func (s *Store) settle(ctx context.Context, key string, h head, err error) error {
	var failed *types.ConditionalCheckFailedException
	var crossed *types.ReplicatedWriteConflictException
	refused := errors.As(err, &failed) || errors.As(err, &crossed)
	var current head
	var unknown error
	if failed != nil && len(failed.Item) > 0 {
		current, unknown = parseHead(failed.Item)
	} else {
		current, unknown = s.head(ctx, key)
	}
	switch {
	case unknown == nil && current.revision == h.revision:
		return nil
	case !refused:
		return err
	case errors.Is(unknown, store.ErrNotAuthentic):
		return unknown
	case unknown == nil, errors.Is(unknown, store.ErrNotFound):
		return store.ErrConflict
	}
	return unknown // it may be ours
}

// saveChunks writes the chunks of a document.
func (s *Store) saveChunks(ctx context.Context, keys []string, chunks [][]byte) error {
	writes := make([]types.WriteRequest, 0, len(keys))
	for i, key := range keys {
		one := keyItem(key)
		one[attrData] = &types.AttributeValueMemberB{Value: chunks[i]}
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: one}})
	}
	return s.write(ctx, writes)
}

// drop deletes chunks, if it can do so soon. Those that stay are never read.
func (s *Store) drop(ctx context.Context, keys []string) {
	within, cancel := context.WithTimeout(ctx, s.timeout/4)
	defer cancel()
	writes := make([]types.WriteRequest, 0, len(keys))
	for _, key := range keys {
		writes = append(writes, types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: keyItem(key)}})
	}
	_ = s.write(within, writes)
}

// write makes unconditional writes, and repeats those that the service has not made.
func (s *Store) write(ctx context.Context, writes []types.WriteRequest) error {
	for n := 0; len(writes) > 0; n++ {
		if n > 0 {
			if err := call.Pause(ctx, n-1); err != nil {
				return err
			}
		}
		out, err := call.Do(ctx, func() (*dynamodb.BatchWriteItemOutput, error) {
			in := &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{s.table: writes}}
			return s.client.BatchWriteItem(ctx, in, s.options)
		})
		if err != nil {
			return err
		}
		writes = nil
		for _, left := range out.UnprocessedItems {
			writes = append(writes, left...)
		}
	}
	return nil
}
