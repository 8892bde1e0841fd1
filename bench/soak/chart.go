package main

import (
	"fmt"
	"time"
)

// chart draws the run.
func (r *report) chart() string {
	p := picture{
		Title: fmt.Sprintf("Soak: %d calls in %v, %d wrong answers", r.calls(), r.options.duration(), r.stats.wrongAnswers()),
		Subtitle: fmt.Sprintf("two issuers with faults at random, %d calls/s by %d callers, %d streams, seed %d",
			r.options.rate, httpCallers+grpcCallers, streams, r.options.seed),
		Seconds: r.options.duration().Seconds(),
	}
	p.Panels = []panel{r.latencyPanel(), r.answersPanel(), r.memoryPanel(), r.countsPanel()}
	for _, where := range []string{"east", "west"} {
		l := lane{Name: where}
		for _, e := range r.events {
			if e.where == where {
				l.Bands = append(l.Bands, band{r.x(e.From), r.x(e.To), e.what})
			}
		}
		p.Lanes = append(p.Lanes, l)
	}
	for _, e := range r.events {
		if e.where == "service" {
			p.Marks = append(p.Marks, mark{r.x(e.From), "service killed, started again"})
		}
	}
	return p.draw()
}

func (r *report) calls() (n int) {
	for _, c := range r.stats.minutes {
		n += c.calls()
	}
	return n
}

// x is the place of a time, in seconds from the start.
func (r *report) x(t time.Time) float64 {
	if t.IsZero() {
		return r.options.duration().Seconds()
	}
	return t.Sub(r.began).Seconds()
}

// overWindows makes a line of what is counted in each window; the last one, which is not whole, is left out.
func (r *report) overWindows(name string, of func(*cell) float64) line {
	l := line{Name: name}
	seconds := r.stats.window.Seconds()
	for i, c := range r.stats.windows {
		if end := float64(i+1) * seconds; end <= r.options.duration().Seconds()+seconds/2 {
			l.Points = append(l.Points, point{end - seconds/2, of(c)})
		}
	}
	return l
}

func (r *report) latencyPanel() panel {
	p := panel{Title: "latency", Unit: "ms", Log: true}
	for _, q := range []float64{0.5, 0.99, 0.999, 1} {
		name := fmt.Sprintf("p%g", q*100)
		if q == 1 {
			name = "max"
		}
		p.Lines = append(p.Lines, r.overWindows(name, func(c *cell) float64 {
			return float64(c.latency.at(q)) / float64(time.Millisecond)
		}))
	}
	return p
}

func (r *report) answersPanel() panel {
	p := panel{Title: "answers", Unit: "1/s", Log: true}
	seconds := r.stats.window.Seconds()
	for _, a := range []answer{accepted, refused, unavailable, limited, lost} {
		p.Lines = append(p.Lines, r.overWindows(a.String(), func(c *cell) float64 { return float64(c.answers[a]) / seconds }))
	}
	return p
}

func (r *report) overSamples(name string, of func(sample) float64) line {
	l := line{Name: name}
	for _, s := range r.samples {
		if v := of(s); v > 0 {
			l.Points = append(l.Points, point{r.x(s.at), v})
		}
	}
	return l
}

func (r *report) memoryPanel() panel {
	return panel{Title: "memory of the service", Unit: "MiB", Lines: []line{
		r.overSamples("heap after collection", func(s sample) float64 { return float64(s.reading.Heap) / (1 << 20) }),
		r.overSamples("resident", func(s sample) float64 { return float64(s.reading.Resident) / (1 << 20) }),
	}}
}

func (r *report) countsPanel() panel {
	return panel{Title: "goroutines and files of the service", Unit: "", Lines: []line{
		r.overSamples("goroutines", func(s sample) float64 { return float64(s.reading.Goroutines) }),
		r.overSamples("open files", func(s sample) float64 { return float64(s.reading.Files) }),
	}}
}
