package dynamostore_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/regionjwt/regionjwt/store/storetest"
)

type item = map[string]types.AttributeValue

// table is a table in memory.
type table struct {
	mu    sync.Mutex
	items map[string]item
}

func newTable() *table { return &table{items: map[string]item{}} }

func text(i item, name string) string {
	s, _ := i[name].(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func (t *table) keys() (keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.items {
		keys = append(keys, k)
	}
	return keys
}

func (t *table) get(key string) item {
	t.mu.Lock()
	defer t.mu.Unlock()
	return copied(t.items[key])
}

// copied returns an item that shares nothing with i, as one that came over a network.
func copied(i item) item {
	i = maps.Clone(i)
	for k, v := range i {
		if b, ok := v.(*types.AttributeValueMemberB); ok {
			i[k] = &types.AttributeValueMemberB{Value: bytes.Clone(b.Value)}
		}
	}
	return i
}

func (t *table) put(key string, i item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i == nil {
		delete(t.items, key)
		return
	}
	t.items[key] = copied(i)
}

// client is a client of a table, with a connection that has faults. Like the SDK, it repeats a request whose answer was lost.
type client struct {
	table *table
	batch int  // items that one batch reads or writes; 0 means all
	plain bool // a failed condition comes without the item

	mu       sync.Mutex
	lose     int
	silence  chan struct{}
	before   func()
	closed   bool
	fail     map[string]error // by the name of the request
	requests []string
	stale    []item // what the next reads of a head return
}

var errClosed = errors.New("the connection ended")

func (c *client) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// send executes a request, up to three times while its answer is lost.
func send[T any](ctx context.Context, c *client, name string, execute func() (*T, error)) (*T, error) {
	for range 3 {
		c.mu.Lock()
		c.requests = append(c.requests, name)
		silence, closed, before, lost, fail := c.silence, c.closed, c.before, false, c.fail[name]
		if silence == nil && c.lose > 0 {
			c.lose--
			lost = true
		}
		if name == "PutItem" {
			c.before = nil
		} else {
			before = nil
		}
		c.mu.Unlock()
		if before != nil {
			before()
		}
		if silence != nil {
			select {
			case <-silence:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		if closed || fail != nil {
			return nil, errors.Join(fail, errClosed)
		}
		out, err := execute()
		if !lost {
			return out, err
		}
	}
	return nil, errClosed
}

func (c *client) GetItem(ctx context.Context, in *dynamodb.GetItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error) {
	return send(ctx, c, "GetItem", func() (*dynamodb.GetItemOutput, error) {
		if !aws.ToBool(in.ConsistentRead) || aws.ToString(in.TableName) != "t" {
			return nil, errors.New("the read is not consistent, or of another table")
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.stale) > 0 {
			defer func() { c.stale = c.stale[1:] }()
			return &dynamodb.GetItemOutput{Item: c.stale[0]}, nil
		}
		return &dynamodb.GetItemOutput{Item: c.table.get(text(in.Key, "pk"))}, nil
	})
}

func (c *client) PutItem(ctx context.Context, in *dynamodb.PutItemInput, _ ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error) {
	return send(ctx, c, "PutItem", func() (*dynamodb.PutItemOutput, error) {
		key := text(in.Item, "pk")
		c.table.mu.Lock()
		defer c.table.mu.Unlock()
		old := copied(c.table.items[key])
		ok := false
		switch aws.ToString(in.ConditionExpression) {
		case "attribute_not_exists(pk)":
			ok = len(old) == 0
		case "rev = :r":
			ok = len(old) > 0 && text(old, "rev") == text(in.ExpressionAttributeValues, ":r")
		}
		if !ok {
			failed := &types.ConditionalCheckFailedException{Item: old}
			if c.plain {
				failed.Item = nil
			}
			return nil, failed
		}
		c.table.items[key] = copied(in.Item)
		return &dynamodb.PutItemOutput{Attributes: old}, nil
	})
}

func (c *client) BatchGetItem(
	ctx context.Context, in *dynamodb.BatchGetItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.BatchGetItemOutput, error) {
	return send(ctx, c, "BatchGetItem", func() (*dynamodb.BatchGetItemOutput, error) {
		asked := in.RequestItems["t"]
		if !aws.ToBool(asked.ConsistentRead) {
			return nil, errors.New("the read is not consistent")
		}
		out := &dynamodb.BatchGetItemOutput{Responses: map[string][]item{}, UnprocessedKeys: map[string]types.KeysAndAttributes{}}
		for n, k := range asked.Keys {
			if c.batch > 0 && n >= c.batch {
				out.UnprocessedKeys["t"] = types.KeysAndAttributes{Keys: asked.Keys[n:]}
				break
			}
			if i := c.table.get(text(k, "pk")); len(i) > 0 {
				out.Responses["t"] = append(out.Responses["t"], i)
			}
		}
		return out, nil
	})
}

func (c *client) BatchWriteItem(
	ctx context.Context, in *dynamodb.BatchWriteItemInput, _ ...func(*dynamodb.Options),
) (*dynamodb.BatchWriteItemOutput, error) {
	return send(ctx, c, "BatchWriteItem", func() (*dynamodb.BatchWriteItemOutput, error) {
		out := &dynamodb.BatchWriteItemOutput{UnprocessedItems: map[string][]types.WriteRequest{}}
		writes := in.RequestItems["t"]
		if len(writes) > 25 {
			return nil, errors.New("too many items")
		}
		for n, w := range writes {
			switch {
			case c.batch > 0 && n >= c.batch:
				out.UnprocessedItems["t"] = append(out.UnprocessedItems["t"], w)
			case w.PutRequest != nil:
				c.table.put(text(w.PutRequest.Item, "pk"), w.PutRequest.Item)
			default:
				c.table.put(text(w.DeleteRequest.Key, "pk"), nil)
			}
		}
		return out, nil
	})
}

// faults are what the connection can do.
func (c *client) faults() storetest.Faults {
	return storetest.Faults{
		LoseAnswers: func(n int) { c.set(func() { c.lose = n }) },
		BeforeWrite: func(f func()) { c.set(func() { c.before = f }) },
		Silence: func() func() {
			silence := make(chan struct{})
			c.set(func() { c.silence = silence })
			return func() { c.set(func() { c.silence = nil }); close(silence) }
		},
		Close: func() { c.set(func() { c.closed = true }) },
	}
}

// count is how many requests of a name there were.
func (c *client) count(name string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(" "+strings.Join(c.requests, " ")+" ", " "+name+" ")
}
