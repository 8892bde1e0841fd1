package otel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/regionjwt/regionjwt/internal/guard"
)

// SignalEvents returns a function for OnEvent of sharedsignals.Config, which records the events of each transmitter, and when the
// last verification event came. It is safe for concurrent use. The metrics are recorded until the process ends.
// Config.MaxProviders bounds the attribute regionjwt.transmitter; the other fields but MeterProvider are not used.
func SignalEvents(c Config) (onEvent func(transmitter, kind, outcome, ruleID string), err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.MaxProviders == 0 {
		c.MaxProviders = defaultProviders
	}
	s := &signals{verified: map[string]time.Time{}}
	s.transmitters.most = c.MaxProviders
	if p := guard.Call("a provider of metrics", func() { err = s.register(c.MeterProvider.Meter(scope)) }); p != nil {
		err = p
	}
	if err != nil {
		return nil, fmt.Errorf("otel: signals: %w", err)
	}
	return s.event, nil
}

// signals records what a receiver of security events does.
type signals struct {
	events       metric.Int64Counter
	transmitters names
	options      table[signal, []metric.AddOption]

	mu       sync.Mutex
	verified map[string]time.Time // by transmitter
}

// signal distinguishes the series. All its values are configured, or from closed lists.
type signal struct{ transmitter, kind, outcome string }

func (s *signals) register(meter metric.Meter) error {
	m := &maker{Meter: meter}
	s.events = m.counter("regionjwt.signals.events", "{event}", "Security events that a receiver has handled or rejected.")
	age := m.age("regionjwt.signals.verification.age", "Time since the last verification event of a transmitter.")
	if err := errors.Join(m.errs...); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, at := range s.verified {
			to.ObserveFloat64(age, max(0, time.Since(at).Seconds()), metric.WithAttributes(keyTransmitter.String(name)))
		}
		return nil
	}, age)
	return err
}

func (s *signals) event(transmitter, kind, outcome, _ string) {
	one := signal{s.transmitters.of(transmitter), kind, outcome}
	if outcome == "verified" {
		s.mu.Lock()
		s.verified[one.transmitter] = time.Now()
		s.mu.Unlock()
	}
	add, known := s.options.find(one)
	if !known {
		all := []attribute.KeyValue{keyTransmitter.String(one.transmitter), keyResult.String(outcome)}
		if kind != "" {
			all = append(all, keyEvent.String(kind))
		}
		add = s.options.add(one, []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(all...))})
	}
	s.events.Add(context.Background(), 1, add...)
}
