package redisstore_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store/redisstore"
	"github.com/regionjwt/regionjwt/store/storetest"
)

// The rights that the package documentation lists.
const (
	reading = "-@all +eval_ro +evalsha_ro +exists +hexists +hstrlen +hget +subscribe +unsubscribe +ping resetchannels &regionjwt:* resetkeys"
	writing = " ~regionjwt:* +eval +evalsha +hset +publish"
)

// The rights that the package documentation lists are enough, and those of a reader do not suffice for writing.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	ctx, srv := t.Context(), startServer(t)
	admin := client(t, srv.socket)
	as := func(name, rights string) *redisstore.Store {
		args := []any{"ACL", "SETUSER", name, "on", ">pw"}
		for right := range strings.FieldsSeq(rights) {
			args = append(args, right)
		}
		require.NoError(t, admin.Do(ctx, args...).Err())
		return newStore(t, client(t, srv.socket, func(o *redis.Options) { o.Username, o.Password = name, "pw" }), redisstore.Config{Timeout: patient})
	}
	reader := as("reader", reading+" %R~regionjwt:*")
	writer := as("writer", reading+writing)
	require.NoError(t, storetest.Check(ctx, writer, writer, ""))
	hints := watch(t, reader, "hinted")
	await(t, hints) // subscribed
	revision, err := writer.Save(ctx, "hinted", []byte("x"), "")
	require.NoError(t, err)
	await(t, hints)
	doc, err := load(ctx, reader, "hinted")
	require.NoError(t, err)
	require.Equal(t, saved{Data: []byte("x"), Revision: revision}, doc)
	_, err = reader.Save(ctx, "hinted", []byte("y"), revision)
	require.ErrorContains(t, err, "NOPERM")
	// Publishing is a hint: without the right to it documents are saved all the same.
	mute := as("mute", reading+" ~regionjwt:* +eval +evalsha +hset")
	_, err = mute.Save(ctx, "hinted", []byte("z"), revision)
	require.NoError(t, err)
}
