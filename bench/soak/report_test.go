package main_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	soak "github.com/regionjwt/regionjwt/bench/soak"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	var h soak.Histogram
	require.Zero(t, h.At(0.5))
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	for p, want := range map[float64]time.Duration{
		0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second, 0.001: time.Millisecond,
	} {
		require.InEpsilon(t, want, h.At(p), 0.041, p)
	}
	h.Add(time.Hour)
	require.Equal(t, time.Hour, h.At(1))
	require.Less(t, h.At(0.999), 1100*time.Millisecond)
}

// The picture is well-formed, holds every name, and stays within its frame whatever the values are.
func TestPicture(t *testing.T) {
	t.Parallel()
	line := soak.Line{Name: "a <b> & c", Points: []soak.Point{{X: 0, Y: 0}, {X: 30, Y: 5e6}, {X: 90, Y: 1}}}
	p := soak.Picture{
		Title: "title", Subtitle: "subtitle", Seconds: 60,
		Panels: []soak.Panel{{Title: "plain", Lines: []soak.Line{line}}, {Title: "log", Log: true, Lines: []soak.Line{line, {Name: "no"}}}},
		Lanes:  []soak.Lane{{Name: "east", Bands: []soak.Band{{From: 10, To: 20, What: "hang"}, {From: 50, To: 70, What: "flood"}}}},
		Marks:  []soak.Mark{{At: 30, What: "mark"}},
	}
	svg := p.Draw()
	var text strings.Builder
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if chars, ok := token.(xml.CharData); ok {
			text.Write(chars)
		}
	}
	for _, name := range []string{"title", "subtitle", "plain", "log", "a <b> & c", "east", "hang", "flood", "mark", "time, seconds"} {
		require.Contains(t, text.String(), name)
	}
	require.NotContains(t, svg, "NaN")
	require.NotContains(t, svg, "Inf")
	require.Contains(t, svg, "prefers-color-scheme:dark")
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-minutes", "0.1"}, {"-rate", "0"}, {"stray"}, {"-nonsense"}} {
		var out, progress bytes.Buffer
		require.Error(t, soak.Run(t.Context(), args, &out, &progress))
		require.Empty(t, out.String())
	}
}

// Revocation rules outlast the run, so their memory is no leak; more than that is.
func TestRulesAreNoGrowth(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	require.False(t, soak.Grew([2]uint64{4 * mib, 4*mib + 300<<10}, [2]int{}), "less than 10 %")
	require.True(t, soak.Grew([2]uint64{4 * mib, 4*mib + 500<<10}, [2]int{100, 100}))
	require.False(t, soak.Grew([2]uint64{4 * mib, 4*mib + 500<<10}, [2]int{100, 600}))
	require.True(t, soak.Grew([2]uint64{4 * mib, 4*mib + 1200<<10}, [2]int{100, 600}))
}
