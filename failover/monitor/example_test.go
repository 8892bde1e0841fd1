package monitor_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/failover/monitor"
	"github.com/regionjwt/regionjwt/issuer"
)

// alarms is what "aws cloudwatch describe-alarms" prints. A Route 53 health check has the metric HealthCheckStatus, and so an
// alarm.
type alarms struct {
	MetricAlarms []struct{ AlarmName, StateValue string }
}

// verdictOf turns the alarm of a region into a verdict. An alarm without enough data says nothing, and so does a missing one.
func verdictOf(described []byte, alarm, provider, region string, now time.Time) (v monitor.Verdict, known bool) {
	var all alarms
	if err := json.Unmarshal(described, &all); err != nil {
		return v, false
	}
	for _, a := range all.MetricAlarms {
		if a.AlarmName == alarm && (a.StateValue == "OK" || a.StateValue == "ALARM") {
			return monitor.Verdict{
				Provider: provider, Region: region, Healthy: a.StateValue == "OK",
				Began: now, Seq: uint64(now.UnixMilli()), TTL: 2 * time.Minute,
			}, true
		}
	}
	return v, false
}

// A function in a third region runs every minute, reads a CloudWatch alarm, and posts a verdict to each instance; with
// monitor.Save it would write it to the store of the fleet.
func Example() {
	public, private, err := ed25519.GenerateKey(nil) // "regionjwt keygen" makes one for each monitor
	if err != nil {
		log.Fatal(err)
	}

	// In the service:
	pool := issuer.Cognito("us-east-1_AbCdEf123", "us-west-2")
	controller, err := failover.New(pool, failover.Config{Automatic: true})
	if err != nil {
		log.Fatal(err)
	}
	receiver, err := monitor.New(monitor.Config{
		Fleet: "production", Keys: map[string]ed25519.PublicKey{"alarms": public},
	}, controller)
	if err != nil {
		log.Fatal(err)
	}
	instance := httptest.NewServer(receiver) // on the internal listener
	defer instance.Close()

	// In the function:
	described := []byte(`{"MetricAlarms":[{"AlarmName":"login-us-east-1","StateValue":"ALARM"}]}`)
	v, known := verdictOf(described, "login-us-east-1", pool.ID, "us-east-1", time.Now())
	if !known {
		return
	}
	signed, err := monitor.Sign(v, "production", "alarms", private)
	if err != nil {
		log.Print(err)
		return
	}
	answer, err := instance.Client().Post(instance.URL, "application/jose", strings.NewReader(string(signed)))
	if err != nil {
		log.Print(err)
		return
	}
	_ = answer.Body.Close()
	fmt.Println(answer.StatusCode, controller.Active())
	// Output: 204 us-west-2
}
