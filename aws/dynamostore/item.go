package dynamostore

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/regionjwt/regionjwt/internal/document"
	"github.com/regionjwt/regionjwt/store"
)

const (
	maxInline = 3 << 10   // bytes of a document in its head
	chunkSize = 384 << 10 // bytes of a chunk; an item has at most 400 KB, names included
	maxChunks = (document.MaxData + chunkSize - 1) / chunkSize

	randomDigits = 32 // hexadecimal digits of a revision
)

// The attributes of items.
const (
	attrKey      = "pk"
	attrRevision = "rev"
	attrPrevious = "prev"
	attrSum      = "sum"
	attrData     = "data"
)

// item is an item of the table.
type item = map[string]types.AttributeValue

// revision is 128 random bits in hexadecimal, a point, and the number of chunks of the document.
type revision string

// newRevision returns the revision of a document of that many chunks.
func newRevision(chunks int) revision {
	random := make([]byte, randomDigits/2)
	_, _ = rand.Read(random) // never fails
	return revision(hex.EncodeToString(random) + "." + strconv.Itoa(chunks))
}

// parseRevision reports whether text can be a revision.
func parseRevision(text string) (r revision, ok bool) {
	random, count, _ := strings.Cut(text, ".")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxChunks || strconv.Itoa(n) != count || len(random) != randomDigits {
		return "", false
	}
	for _, c := range []byte(random) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "", false
		}
	}
	return revision(text), true
}

// chunks returns the keys of the chunks of a document. An empty revision has none.
func (r revision) chunks(head string) (keys []string) {
	_, count, _ := strings.Cut(string(r), ".")
	n, _ := strconv.Atoi(count)
	for i := range n {
		keys = append(keys, head+"/"+string(r)+"/"+strconv.Itoa(i))
	}
	return keys
}

// head is what readers see of a document.
type head struct {
	revision revision
	previous revision // of the document before, whose chunks still exist; "" if there is none
	sum      [sha256.Size]byte
	data     []byte // unless it is in chunks
}

// errForeign says that another program wrote the item.
var errForeign = fmt.Errorf("%w: the item is not the head of a document; delete it and save again", store.ErrNotAuthentic)

// parseHead reads the head of a document.
func parseHead(i item) (h head, err error) {
	text, _ := i[attrRevision].(*types.AttributeValueMemberS)
	sum, _ := i[attrSum].(*types.AttributeValueMemberB)
	if text == nil || sum == nil || len(sum.Value) != len(h.sum) {
		return head{}, errForeign
	}
	var ok bool
	if h.revision, ok = parseRevision(text.Value); !ok {
		return head{}, errForeign
	}
	h.sum = [sha256.Size]byte(sum.Value)
	if previous, _ := i[attrPrevious].(*types.AttributeValueMemberS); previous != nil {
		h.previous, _ = parseRevision(previous.Value)
	}
	if data, _ := i[attrData].(*types.AttributeValueMemberB); data != nil {
		h.data = data.Value
	}
	return h, nil
}

// item returns the head as an item.
func (h head) item(key string) item {
	i := item{
		attrKey:      &types.AttributeValueMemberS{Value: key},
		attrRevision: &types.AttributeValueMemberS{Value: string(h.revision)},
		attrSum:      &types.AttributeValueMemberB{Value: h.sum[:]},
	}
	if h.previous != "" {
		i[attrPrevious] = &types.AttributeValueMemberS{Value: string(h.previous)}
	}
	if len(h.data) > 0 {
		i[attrData] = &types.AttributeValueMemberB{Value: h.data}
	}
	return i
}

// errAltered says that the text of a document is not the one that its writer saved.
var errAltered = fmt.Errorf("%w: it was changed after it was saved", store.ErrNotAuthentic)

// whole returns the document of a head and of its chunks.
func (h head) whole(chunks [][]byte) ([]byte, error) {
	size := len(h.data)
	for _, c := range chunks {
		size += len(c)
	}
	if size > document.MaxData {
		return nil, document.ErrTooLarge
	}
	data := slices.Concat(append([][]byte{h.data}, chunks...)...)
	if sha256.Sum256(data) != h.sum {
		return nil, errAltered
	}
	return data, nil
}

// split returns the data that is in the head, or the chunks of a long document.
func split(data []byte) (inline []byte, chunks [][]byte) {
	if len(data) <= maxInline {
		return data, nil
	}
	return nil, slices.Collect(slices.Chunk(data, chunkSize))
}

// keyItem returns the key of an item.
func keyItem(key string) item { return item{attrKey: &types.AttributeValueMemberS{Value: key}} }

// keyOf returns the key of an item, or "".
func keyOf(i item) string {
	if key, _ := i[attrKey].(*types.AttributeValueMemberS); key != nil {
		return key.Value
	}
	return ""
}

// errMissing says that a chunk is not there, for one of three reasons: a writer has replaced the document meanwhile, the chunk
// has not reached this Region yet, or somebody has deleted it.
var errMissing = errors.New("a part of the document is missing")
