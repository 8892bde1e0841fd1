package sharedsignals

import (
	"context"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regionjwt/regionjwt/internal/backoff"
	"github.com/regionjwt/regionjwt/internal/label"
	"github.com/regionjwt/regionjwt/internal/outbound"
	"github.com/regionjwt/regionjwt/internal/strictjson"
)

const (
	pollEvents  = 100              // tokens of one answer
	pollAtOnce  = 16               // of them
	maxPollBody = 8 << 20          // bytes of one answer
	pollTime    = 90 * time.Second // for one request: the transmitter may wait for an event
	pollPause   = time.Second      // after an answer without tokens that came at once
	longPoll    = 5 * time.Second  // an answer that took so long was waited for
	minPollWait = time.Second      // after a failure; doubled each time,
	maxPollWait = time.Minute      // up to this
)

// pollRequest is RFC 8936 section 2.4.
type pollRequest struct {
	MaxEvents         int                  `json:"maxEvents"`
	ReturnImmediately bool                 `json:"returnImmediately"`
	Ack               []string             `json:"ack,omitempty"`
	SetErrs           map[string]pollError `json:"setErrs,omitempty"`
}

type pollError struct {
	Err         string `json:"err"`
	Description string `json:"description"`
}

// poll polls a transmitter until ctx ends. A token is acknowledged with the next request, when its rule is durable; one that
// could not be judged is not acknowledged, so the transmitter sends it again.
func (r *Receiver) poll(ctx context.Context, t *transmitter) {
	client := outbound.Client(t.Provider.HTTPClient, outbound.Transport(requestTime, 2*pollTime))
	next := pollRequest{MaxEvents: pollEvents}
	failures := 0
	for ctx.Err() == nil {
		began := time.Now()
		sets, more, retry, failure := request(ctx, client, t.PollURL, &next)
		if ctx.Err() != nil {
			return
		}
		r.noteFailure(t, "poll", failure)
		if failure != "" {
			pause(ctx, max(backoff.After(failures, minPollWait, maxPollWait), retry))
			failures++
			continue
		}
		failures = 0
		next = pollRequest{MaxEvents: pollEvents}
		wait := r.receiveAll(ctx, t, sets, &next)
		switch {
		case wait > 0:
			pause(ctx, wait)
		case len(sets) == 0 && !more && time.Since(began) < longPoll:
			pause(ctx, pollPause)
		}
	}
}

// receiveAll receives the tokens of an answer, several at once so that they share writes, and notes what to say about each. It
// returns how long to wait if some must be sent again.
func (r *Receiver) receiveAll(
	ctx context.Context, t *transmitter, sets []strictjson.Member, next *pollRequest,
) (wait time.Duration) {
	answers := make([]answer, len(sets))
	var group errgroup.Group
	group.SetLimit(pollAtOnce)
	for i, one := range sets {
		group.Go(func() error {
			answers[i] = answer{code: errInvalidRequest, description: "it is not a text"}
			if one.Value.Kind() == strictjson.String {
				answers[i] = r.receive(ctx, t, one.Value.Text(), one.Name, false)
			}
			return nil
		})
	}
	_ = group.Wait()
	for i, a := range answers {
		switch id := sets[i].Name; {
		case a.later > 0 && !a.full: // one for which there is no room must not keep back those that have reserved room
			wait = max(wait, a.later)
		case a.code != "":
			if next.SetErrs == nil {
				next.SetErrs = map[string]pollError{}
			}
			next.SetErrs[id] = pollError{Err: a.code, Description: a.description}
		default:
			next.Ack = append(next.Ack, id)
		}
	}
	next.ReturnImmediately = wait > 0 // what can be said is said at once
	return min(wait, maxPollWait)
}

// request sends one poll.
func request(
	ctx context.Context, client *http.Client, url string, p *pollRequest,
) (sets []strictjson.Member, more bool, retry time.Duration, failure string) {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	status, body, retry, failure := post(ctx, client, url, p, maxPollBody)
	switch {
	case failure != "":
		return nil, false, retry, failure
	case status != http.StatusOK:
		return nil, false, retry, label.Status(status)
	}
	members, err := strictjson.Parse(nil, string(body))
	if err != nil {
		return nil, false, retry, label.Malformed
	}
	list := strictjson.Find(members, "sets")
	if list.Kind() != strictjson.Object && list.Kind() != strictjson.Absent {
		return nil, false, retry, label.Malformed
	}
	sets = slices.Collect(list.Members())
	more = len(sets) > pollEvents || strictjson.Find(members, "moreAvailable").Raw() == "true"
	return sets[:min(len(sets), pollEvents)], more, retry, ""
}
