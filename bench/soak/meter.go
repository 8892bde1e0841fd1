package main

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/failover"
	"github.com/regionjwt/regionjwt/jwks"
	"github.com/regionjwt/regionjwt/revocation"
	"github.com/regionjwt/regionjwt/verifier"
)

// reading is what the service says of itself.
type reading struct {
	Heap       uint64 // bytes in use, after a collection
	Resident   uint64 // bytes of memory, as the kernel counts
	Goroutines int
	Files      int // open descriptors
	Late       time.Duration
	Active     string // region, says the controller
	Moves      int
	Rules      int                       // of revocation
	Fetches    map[string]map[string]int // by region and outcome
	Good       map[string]int64          // by region: when the last good answer was asked for, unix, in nanoseconds
	Decisions  map[string]int            // by reason; "accepted" and "cached" for those that passed
}

// meter counts what the hooks of the service tell, and serves a reading on a loopback port.
type meter struct {
	controller *failover.Controller
	rules      *revocation.List
	probe      lateness

	mu sync.Mutex
	r  reading
}

func newMeter() *meter {
	return &meter{r: reading{
		Fetches: map[string]map[string]int{}, Good: map[string]int64{}, Decisions: map[string]int{},
	}}
}

func (m *meter) moved(before, now failover.Status) {
	if now.Active == before.Active {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.r.Moves++
}

func (m *meter) verified(_ context.Context, v verifier.Decision) {
	what := "accepted"
	if v.Err != nil {
		what = string(v.Err.Reason)
	} else if v.Cached {
		what = "cached"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.r.Decisions[what]++
}

func (m *meter) fetched(f jwks.Fetch) {
	what := "good"
	if f.Failure != "" {
		what, _, _ = strings.Cut(f.Failure, " ")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.r.Fetches[f.Region] == nil {
		m.r.Fetches[f.Region] = map[string]int{}
	}
	m.r.Fetches[f.Region][what]++
	if f.Failure == "" {
		m.r.Good[f.Region] = time.Now().Add(-f.Duration).UnixNano()
	}
}

func (m *meter) beLate(ctx context.Context) { m.probe.run(ctx) }

// ServeHTTP implements http.Handler. With ?gc=1 it collects garbage first, or Heap is 0.
func (m *meter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var heap uint64
	if r.FormValue("gc") == "1" {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		heap = stats.HeapAlloc
	}
	files, _ := os.ReadDir("/proc/self/fd")
	m.mu.Lock()
	now := m.r
	now.Good, now.Decisions = maps.Clone(now.Good), maps.Clone(now.Decisions)
	now.Fetches = map[string]map[string]int{}
	for region, n := range m.r.Fetches {
		now.Fetches[region] = maps.Clone(n)
	}
	m.mu.Unlock()
	now.Heap, now.Resident, now.Files = heap, resident(), len(files)
	now.Goroutines, now.Late = runtime.NumGoroutine(), m.probe.take()
	now.Active, now.Rules = m.controller.Active(), m.rules.Status().Rules
	_ = json.NewEncoder(w).Encode(now)
}

// resident is the memory of this process; 0 where the kernel does not tell.
func resident() uint64 {
	status, _ := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(status))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// cpuOf is the processor time that a process has used; 0 where the kernel does not tell.
func cpuOf(pid int) time.Duration {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}

// cpuOfMachine is the processor time of everybody: busy, and all there was.
func cpuOfMachine() (busy, all time.Duration) {
	stat, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	for i, f := range fields {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || i > 8 { // what guests use is counted twice
			continue
		}
		d := time.Duration(n) * time.Second / 100
		all += d
		if i != 4 && i != 5 { // idle, and waiting for a disk
			busy += d
		}
	}
	return busy, all
}

// lateness measures by how much timers are late in this process, which is what a loaded machine adds to every bound.
type lateness struct {
	mu    sync.Mutex
	worst time.Duration
}

const latenessEvery = 10 * time.Millisecond

// run measures until ctx ends.
func (l *lateness) run(ctx context.Context) {
	timer := time.NewTimer(latenessEvery)
	defer timer.Stop()
	for due := time.Now().Add(latenessEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := time.Now()
		l.mu.Lock()
		l.worst = max(l.worst, now.Sub(due))
		l.mu.Unlock()
		due = now.Add(latenessEvery)
		timer.Reset(latenessEvery)
	}
}

// take returns the worst since it was last asked.
func (l *lateness) take() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	worst := l.worst
	l.worst = 0
	return worst
}
