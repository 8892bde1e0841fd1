package stores_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/store"
)

// site is the store of a Region: a server, and the way of the processes to it.
type site struct {
	kind   string
	way    *way
	direct store.Store                 // around the way, for somebody with the password
	wipe   func(context.Context)       // deletes all
	freeze func() (thaw func())        // stops the server
	dir    string                      // the directory, if it is one
	spoil  []func(ctx context.Context) // what one can do without a key, beside what the methods of a store do
}

func (s *site) place() place {
	if s.way == nil {
		return place{Kind: s.kind, Address: s.dir}
	}
	return place{Kind: s.kind, Network: "tcp", Address: s.way.address}
}

// text returns the document of the store, as it is there.
func (s *site) text(t *testing.T) []byte {
	t.Helper()
	data, _, err := s.direct.Load(t.Context(), document, "")
	require.NoError(t, err)
	return data
}

// put writes a document, whatever is there. It may fail: the server may be busy.
func (s *site) put(ctx context.Context, data []byte) {
	_, revision, _ := s.direct.Load(ctx, document, "")
	_, _ = s.direct.Save(ctx, document, data, revision)
}

// fault is something that happens to a store. before is a document that it had.
type fault struct {
	name  string
	begin func(t *testing.T, before []byte) (end func())
}

func (s *site) faults() []fault {
	return []fault{
		{"cut off", func(*testing.T, []byte) func() {
			s.way.set(refuses)
			return func() { s.way.set(passes) }
		}},
		{"frozen", func(*testing.T, []byte) func() { return s.freeze() }},
		{"wiped", func(t *testing.T, _ []byte) func() {
			s.wipe(t.Context())
			return func() { s.wipe(t.Context()) }
		}},
		{"rolled back", func(t *testing.T, before []byte) func() {
			s.put(t.Context(), before)
			return func() { s.put(t.Context(), before) }
		}},
		{"hostile", func(t *testing.T, before []byte) func() {
			end := s.attack(t, before)
			time.Sleep(shortAttack)
			return end
		}},
	}
}

// startRedisSite starts a redis-server.
func startRedisSite(t *testing.T) *site {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	require.NoError(t, err, "this test needs redis-server 7 or later: install it (Debian: apt-get install redis-server) and try again")
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir, "--requirepass", password)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	at := place{Kind: "redis", Network: "unix", Address: socket}
	client := at.redis()
	t.Cleanup(func() { _ = client.Close() })
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, patient, 5*time.Millisecond)
	s := &site{kind: "redis", way: startWay(t, "unix", socket, redisLie)}
	s.direct, err = at.open()
	require.NoError(t, err)
	s.wipe = func(ctx context.Context) { _ = client.FlushAll(ctx).Err() }
	s.freeze = func() func() { return stop(cmd) }
	s.spoil = redisActs(client)
	return s
}

// stop freezes a server by SIGSTOP.
func stop(cmd *exec.Cmd) (thaw func()) {
	_ = cmd.Process.Signal(syscall.SIGSTOP)
	return func() { _ = cmd.Process.Signal(syscall.SIGCONT) }
}

// redisActs are what one can do with the password of a Redis to its key.
func redisActs(client *redis.Client) []func(context.Context) {
	key := func(ctx context.Context) string {
		keys, _ := client.Keys(ctx, "*").Result()
		return append(keys, "none")[0]
	}
	return []func(context.Context){
		func(ctx context.Context) { // a document under the revision of another one
			client.HSet(ctx, key(ctx), "data", strings.Repeat("junk", 1000))
		},
		func(ctx context.Context) { client.HSet(ctx, key(ctx), "rev", strings.Repeat("x", 32)) },
		func(ctx context.Context) { client.HDel(ctx, key(ctx), "rev") },
		func(ctx context.Context) { client.Set(ctx, key(ctx), "no hash", 0) },
		func(ctx context.Context) { client.HSet(ctx, key(ctx), "data", strings.Repeat("x", 4<<20)) },
		func(ctx context.Context) {
			for range 100 { // hints of nothing
				client.Publish(ctx, key(ctx)+":changed", "")
			}
		},
		func(ctx context.Context) { client.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		func(ctx context.Context) { client.Do(ctx, "CLIENT", "KILL", "TYPE", "pubsub") },
		func(ctx context.Context) { client.Do(ctx, "CLIENT", "PAUSE", "50") },
	}
}

// redisLie is an answer of no Redis.
func redisLie() []byte {
	of := []string{
		"*9223372036854775807\r\n", "*1000000000\r\n", "%1000000000\r\n", "$536870912\r\n", "$-2\r\n", "-ERR\r\n", "+OK\r\n", ":1\r\n", "*0\r\n",
		"*3\r\n:1\r\n$1\r\nx\r\n$1\r\ny\r\n", strings.Repeat("*1\r\n", 10_000), ">1\r\n+x\r\n", "HTTP/1.1 200 OK\r\n\r\n", "\x00\x00\x00",
	}
	return []byte(of[rand.IntN(len(of))])
}

// startDynamoSite starts an emulator of DynamoDB.
func startDynamoSite(t *testing.T) *site {
	t.Helper()
	url, cmd := startDynamoProcess(t)
	client := dynamo(url, http.DefaultTransport)
	s := &site{kind: "dynamo", way: startWay(t, "tcp", strings.TrimPrefix(url, "http://"), httpLie)}
	s.direct = newDynamo(t, client, "")
	s.wipe = func(ctx context.Context) {
		for range 100 { // one answer has at most a megabyte
			all, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("regionjwt")})
			if err != nil || len(all.Items) == 0 {
				return
			}
			for _, one := range all.Items {
				_, _ = client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
					TableName: aws.String("regionjwt"), Key: map[string]types.AttributeValue{"pk": one["pk"]},
				})
			}
		}
	}
	s.freeze = func() func() { return stop(cmd) }
	s.spoil = dynamoActs(client)
	return s
}

// dynamoActs are what a writer of the table can do to the head of the document.
func dynamoActs(client *dynamodb.Client) []func(context.Context) {
	change := func(f func(item map[string]types.AttributeValue)) func(context.Context) {
		return func(ctx context.Context) {
			all, err := client.Scan(ctx, &dynamodb.ScanInput{TableName: aws.String("regionjwt")})
			if err != nil || len(all.Items) == 0 {
				return
			}
			item := all.Items[0]
			f(item)
			_, _ = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("regionjwt"), Item: item})
		}
	}
	return []func(context.Context){
		change(func(i map[string]types.AttributeValue) {
			i["data"] = &types.AttributeValueMemberB{Value: []byte("junk")}
		}),
		change(func(i map[string]types.AttributeValue) { delete(i, "data") }),
		change(func(i map[string]types.AttributeValue) {
			i["rev"] = &types.AttributeValueMemberS{Value: strings.Repeat("a", 32) + ".11"} // of chunks that are not there
			delete(i, "data")
		}),
		change(func(i map[string]types.AttributeValue) { i["rev"] = &types.AttributeValueMemberN{Value: "1"} }),
		change(func(i map[string]types.AttributeValue) {
			i["data"] = &types.AttributeValueMemberB{Value: make([]byte, 390_000)}
		}),
	}
}

// httpLie is an answer of no service of AWS.
func httpLie() []byte {
	of := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 304 Not Modified\r\n\r\n", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nxx", "junk\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n" + `{"Item":{"pk":{"S":"\ud8"}}`, "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
	}
	return []byte(of[rand.IntN(len(of))])
}

// startS3Site starts an emulator of S3.
func startS3Site(t *testing.T) *site {
	t.Helper()
	url := startS3(t)
	client := simple(url, http.DefaultTransport)
	s := &site{kind: "s3", way: startWay(t, "tcp", strings.TrimPrefix(url, "http://"), httpLie)}
	s.direct = newS3(t, client, "")
	bucket := aws.String("fleet")
	each := func(ctx context.Context, f func(key *string)) {
		all, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket})
		if err != nil {
			return
		}
		for _, one := range all.Contents {
			f(one.Key)
		}
	}
	s.wipe = func(ctx context.Context) {
		each(ctx, func(key *string) { _, _ = client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key}) })
	}
	s.freeze = func() func() {
		s.way.set(stalls)
		return func() { s.way.set(passes) }
	}
	for _, body := range []string{"", "junk", strings.Repeat("x", 8<<20)} {
		s.spoil = append(s.spoil, func(ctx context.Context) {
			each(ctx, func(key *string) {
				_, _ = client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader(body)})
			})
		})
	}
	return s
}
