package clientcredentials_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/regionjwt/regionjwt/failover/clientcredentials"
	"github.com/regionjwt/regionjwt/internal/outbound"
)

// What a RoundTripper with a protocol of its own has read is as good as an answer of OAuth: a rejection is final, anything else
// sends the round to the next region, and the cause is behind the error but not in its text.
func TestARoundTripperMayReadTheAnswer(t *testing.T) {
	t.Parallel()
	cause := errors.New("s3cret")
	for want, refusal := range map[string]*outbound.ServiceError{
		"clientcredentials: region us-east-1: rejected AccessDenied":                                    {Code: "AccessDenied", Status: 403, Err: cause},
		"clientcredentials: no region answers; region us-east-1: throttled; region us-west-2: network":  {Label: "throttled", Err: cause},
		"clientcredentials: no region answers; region us-east-1: status 503; region us-west-2: network": {Status: 503, Err: cause},
		"clientcredentials: no region answers; region us-east-1: status 403; region us-west-2: network": {Status: 403, Err: cause},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.set(east, reply{err: refusal})
			w.set(west, refused)
			s := w.source(t, nil)
			category := clientcredentials.ErrUnavailable
			asked := 1
			if refusal.Code != "" {
				category, asked = clientcredentials.ErrRejected, 0
			}
			err := requireError(t, s, category)
			require.EqualError(t, err, want)
			require.ErrorIs(t, err, cause)
			_, western := w.asked()
			require.Equal(t, asked, western)

			w.set(east, reply{})
			time.Sleep(10 * time.Second)
			have(t, s, east, 0)
		})
	}
}
