package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"time"
)

const (
	sampleEvery  = 2 * time.Second
	collectEvery = 3 // samples, one of which comes after a garbage collection
	withdrawnFor = 66 * time.Second
)

// sample is a reading of the service, and of the machine since the last one.
type sample struct {
	at      time.Time
	reading reading
	busy    float64   // share of the machine's processors
	shares  []float64 // of it by this process, the service, and each issuer
}

// sample reads the meter of the service until ctx ends.
func (w *world) sample(ctx context.Context) []sample {
	var all []sample
	client := &http.Client{Timeout: sampleEvery, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	busy, total := cpuOfMachine()
	used := map[int]time.Duration{}
	for n := 0; pause(ctx, sampleEvery); n++ {
		s := sample{at: time.Now()}
		err := w.read(ctx, client, n%collectEvery == 0, &s.reading)
		w.slowest.note(max(w.probe.take(), s.reading.Late))
		if err != nil {
			continue // it is being restarted; the callers notice
		}
		b, t := cpuOfMachine()
		if t > total {
			s.busy = float64(b-busy) / float64(t-total)
		}
		for _, pid := range w.pids() {
			now := cpuOf(pid)
			share := 0.0
			if before, known := used[pid]; known && t > total {
				share = float64(now-before) / float64(t-total)
			}
			used[pid] = now
			s.shares = append(s.shares, share)
		}
		busy, total = b, t
		w.noteGone(s.reading)
		all = append(all, s)
	}
	return all
}

func (w *world) read(ctx context.Context, client *http.Client, collect bool, into *reading) error {
	target := "http://" + w.address.Load().Debug + "/"
	if collect {
		target += "?gc=1"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return decode(body, into)
}

// noteGone notes which withdrawn keys the service must have let go: it has had good answers without them, a minute apart.
func (w *world) noteGone(r reading) {
	for _, region := range w.regions {
		if r.Good[region.name] == 0 {
			continue
		}
		good := time.Unix(0, r.Good[region.name])
		region.mu.Lock()
		for _, k := range region.keys {
			switch {
			case !k.withdrawn.before(good.Add(-time.Second)):
			case k.missed.get().IsZero():
				k.missed.set(good)
			case good.Sub(k.missed.get()) > withdrawnFor:
				k.gone.set(time.Now())
			}
		}
		region.mu.Unlock()
	}
}

// growth compares the service in the second and in the last fifth of the time from its restart on.
type growth struct {
	judged                bool
	heap, resident, rules [2]float64
	goroutines, files     [2]float64
	heapGrew, routineGrew bool
}

// How much may be noise.
const (
	growthAtLeast   = 4 * time.Minute // shorter runs say nothing
	heapNoise       = 0.10
	goroutinesNoise = 20
	bytesOfRule     = 1024 // a revocation rule stays until it ends, which is after the run
)

func grown(all []sample, from time.Time, whole time.Duration) (g growth) {
	if len(all) == 0 {
		return g
	}
	last := all[len(all)-1].at
	fifth := last.Sub(from) / 5
	median := func(n int, of func(sample) float64) float64 {
		var values []float64
		for _, s := range all {
			if i := int(s.at.Sub(from) / max(fifth, 1)); s.at.After(from) && min(i, 4) == n && of(s) > 0 {
				values = append(values, of(s))
			}
		}
		if len(values) == 0 {
			return 0
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	for i, n := range []int{1, 4} {
		g.heap[i] = median(n, func(s sample) float64 { return float64(s.reading.Heap) })
		g.resident[i] = median(n, func(s sample) float64 { return float64(s.reading.Resident) })
		g.goroutines[i] = median(n, func(s sample) float64 { return float64(s.reading.Goroutines) })
		g.files[i] = median(n, func(s sample) float64 { return float64(s.reading.Files) })
		g.rules[i] = median(n, func(s sample) float64 { return float64(s.reading.Rules) })
	}
	g.judged = whole >= growthAtLeast
	g.heapGrew = g.judged && g.heap[1]-(g.rules[1]-g.rules[0])*bytesOfRule > g.heap[0]*(1+heapNoise)
	g.routineGrew = g.judged && g.goroutines[1] > g.goroutines[0]+goroutinesNoise
	return g
}
