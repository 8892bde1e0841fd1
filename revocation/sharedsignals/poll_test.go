package sharedsignals_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/revocation/sharedsignals"
	"github.com/regionjwt/regionjwt/revocation/sharedsignals/signalstest"
)

func polling(c *sharedsignals.Config) {
	c.Transmitters[0].PollURL = signalstest.PollURL
	c.Transmitters[0].VerificationURL, c.Transmitters[0].StreamID = signalstest.VerificationURL, "stream-1"
}

// queue queues an event under an ID.
func (w *world) queue(id string, e signalstest.Event) {
	e.Set = map[string]any{"jti": id}
	w.sender.Queue(id, w.sender.Issue(e))
}

// Tokens that are polled make rules, and each is acknowledged when its rule is durable, or reported.
func TestPolledEventsAreAcknowledged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, polling)
		token, other := w.token("alice", "", time.Minute), w.token("bob", "", time.Minute)
		w.queue("good", signalstest.Event{Subject: user("alice")})
		w.queue("forged", signalstest.Event{Subject: user("bob"), Forged: true})
		w.queue("unknown", signalstest.Event{Type: "https://example.com/event", Subject: user("bob")})
		w.sender.Queue("other", w.sender.Issue(signalstest.Event{Subject: user("bob"), Set: map[string]any{"jti": "another"}}))
		w.settle()
		w.settle()
		w.settle()
		acked := w.sender.Acknowledged()
		for _, id := range []string{"good", "!forged", "unknown", "!other"} {
			require.Contains(t, acked, id)
		}
		require.True(t, w.rejected(token))
		require.False(t, w.rejected(other))
	})
}

// Nothing is acknowledged while no store has the rule, and nothing is lost meanwhile, nor while the transmitter is away.
func TestAPolledEventIsNotLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, polling)
		token := w.token("alice", "", time.Minute)
		w.memory.setDown(true)
		w.queue("one", signalstest.Event{Subject: user("alice")})
		time.Sleep(time.Minute)
		require.NotContains(t, w.sender.Acknowledged(), "one")
		w.sender.Silence(true)
		w.memory.setDown(false)
		time.Sleep(10 * time.Minute)
		w.sender.Silence(false)
		time.Sleep(2 * time.Minute)
		w.settle()
		require.Contains(t, w.sender.Acknowledged(), "one")
		require.True(t, w.rejected(token))
	})
}

// A thousand events arrive in rounds, and all of them are acknowledged within seconds.
func TestManyPolledEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, polling)
		for i := range 300 {
			w.queue(fmt.Sprintf("id-%d", i), signalstest.Event{Subject: user(fmt.Sprintf("user-%d", i))})
		}
		time.Sleep(10 * time.Second)
		w.settle()
		require.Len(t, w.rules.Rules(), 300)
		acked := slices.DeleteFunc(w.sender.Acknowledged(), func(id string) bool { return len(id) > 8 })
		require.Len(t, acked, 300, "each once")
	})
}

// Session events for which there is no room do not keep back an account that was disabled.
func TestPolledEventsDoNotKeepOthersBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, func(c *sharedsignals.Config) {
			polling(c)
			for i := range 30 { // they share the room
				c.Transmitters[0].Issuers[fmt.Sprintf("https://%d.example.com", i)] = fmt.Sprint("p", i)
			}
		})
		token := w.token("victim", "", time.Minute)
		for i := range 600 {
			w.queue(fmt.Sprintf("id-%d", i), signalstest.Event{Subject: user(fmt.Sprintf("user-%d", i))})
		}
		w.queue("last", signalstest.Event{Type: "risc/account-disabled", Subject: user("victim")})
		time.Sleep(20 * time.Second)
		w.settle()
		require.Contains(t, w.told(), "session-revoked no_room")
		require.True(t, w.rejected(token))
	})
}

// A transmitter that sends no verification event is told apart from one that has nothing to say.
func TestSilenceIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := newWorld(t, polling)
		time.Sleep(30 * time.Minute)
		synced := w.receiver.Status()[0]
		require.Equal(t, "shop", synced.Transmitter)
		require.Empty(t, synced.Stream)
		require.Less(t, time.Since(synced.Verified), 6*time.Minute)
		require.Contains(t, w.told(), "verification verified")
		w.sender.Silence(true)
		time.Sleep(30 * time.Minute)
		require.Equal(t, "silent", w.receiver.Status()[0].Stream)
		require.Contains(t, w.told(), "verification silent")
		old := w.sender.Issue(signalstest.Event{Type: "ssf/verification", Ago: time.Hour})
		require.Equal(t, []int{202}, w.push(old))
		require.Equal(t, "silent", w.receiver.Status()[0].Stream, "an old one proves nothing")
		w.sender.Silence(false)
		time.Sleep(10 * time.Minute)
		require.Empty(t, w.receiver.Status()[0].Stream)
	})
}

// Requests to a transmitter that fail are logged once, and once when they succeed again.
func TestFailuresOfATransmitterAreLoggedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t, func(c *sharedsignals.Config) {
			polling(c)
			c.Keys.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		count := func(text string) int {
			synctest.Wait()
			return strings.Count(log.String(), text)
		}
		const failed, well = "a request to a transmitter failed", "requests to a transmitter succeed again"
		time.Sleep(10 * time.Minute)
		require.Zero(t, count(failed)+count(well))
		for i := 1; i < 3; i++ {
			w.sender.Silence(true)
			time.Sleep(time.Hour)
			require.Equal(t, i, count(failed))
			require.Equal(t, i-1, count(well))
			w.sender.Silence(false)
			time.Sleep(time.Hour)
			require.Equal(t, i, count(failed))
			require.Equal(t, i, count(well))
		}
	})
}

// The state of the stream is what the transmitter said last, not what arrived last.
func TestTheStateOfTheStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		w := newWorld(t, func(c *sharedsignals.Config) { c.Keys.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		updated := func(status any, ago time.Duration) string {
			return w.sender.Issue(signalstest.Event{Type: "ssf/stream-updated", Ago: ago, Members: map[string]any{"status": status}})
		}
		w.push(updated("paused", time.Minute))
		require.Equal(t, "paused", w.receiver.Status()[0].Stream)
		w.push(updated("enabled", time.Hour))
		require.Equal(t, "paused", w.receiver.Status()[0].Stream)
		w.push(updated("enabled", 0), updated("broken", 0), updated(7, 0))
		require.Equal(t, "enabled", w.receiver.Status()[0].Stream)
		w.push(updated("paused", -24*time.Hour)) // by a clock that is ahead
		require.Equal(t, "paused", w.receiver.Status()[0].Stream)
		time.Sleep(time.Minute)
		w.push(updated("enabled", 0))
		require.Equal(t, "enabled", w.receiver.Status()[0].Stream, "a token from the future does not hide the later ones")
		require.Equal(t, 2, strings.Count(log.String(), "the stream of a transmitter is not enabled"), log.String())
	})
}
