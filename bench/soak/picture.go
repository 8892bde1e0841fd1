package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"slices"
	"strings"
)

// picture is a column of panels over one axis of time, with bands for what was done meanwhile.
type picture struct {
	Title, Subtitle string
	Seconds         float64
	Panels          []panel
	Lanes           []lane
	Marks           []mark
}

type panel struct {
	Title, Unit string
	Log         bool // the axis is logarithmic, from 0.1; what is less is drawn there
	Lines       []line
}

type line struct {
	Name   string
	Points []point
}

type point struct{ X, Y float64 } // X in seconds

type lane struct {
	Name  string
	Bands []band
}

type band struct {
	From, To float64
	What     string
}

type mark struct {
	At   float64
	What string
}

// The measures of a picture.
const (
	width    = 1000.0
	left     = 64.0
	rightEnd = width - 20
	top      = 84.0
	tall     = 140.0
	panelGap = 46.0
	laneTall = 18.0
)

const style = `<style>
svg{font:12px system-ui,sans-serif}
.bg{fill:#fff}.text{fill:#24292f}.weak{fill:#57606a}.title{font-size:17px;font-weight:600}.head{font-weight:600}
.grid{stroke:#d0d7de;stroke-width:1}.frame{stroke:#8c959f;fill:none}.mark{stroke:#cf222e;stroke-width:1.5;stroke-dasharray:5 3}
.marked{fill:#cf222e}.east{fill:#bf8700}.west{fill:#0969da}.shade{opacity:.13}.block{opacity:.75}.flood{opacity:.3}
.l{fill:none;stroke-width:1.6;stroke-linejoin:round}
.l0{stroke:#0550ae}.l1{stroke:#bc4c00}.l2{stroke:#8250df}.l3{stroke:#1a7f37}
.l1{stroke-dasharray:7 2}.l2{stroke-dasharray:2 2}.l3{stroke-dasharray:7 2 2 2}
@media(prefers-color-scheme:dark){
.bg{fill:#0d1117}.text{fill:#e6edf3}.weak{fill:#9198a1}.grid{stroke:#30363d}.frame{stroke:#6e7681}
.mark{stroke:#ff7b72}.marked{fill:#ff7b72}.east{fill:#d29922}.west{fill:#58a6ff}.shade{opacity:.2}
.l0{stroke:#79c0ff}.l1{stroke:#ffa657}.l2{stroke:#d2a8ff}.l3{stroke:#56d364}}
</style>`

// draw returns the picture as SVG, readable on light and dark pages.
func (p *picture) draw() string {
	var s strings.Builder
	lanesTop := top + float64(len(p.Panels))*(tall+panelGap)
	bottom := lanesTop + float64(len(p.Lanes))*(laneTall+6)
	height := bottom + 62
	_, _ = fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`+"\n%s\n",
		width, height, escape(p.Title), style)
	_, _ = fmt.Fprintf(&s, `<rect class="bg" width="%.0f" height="%.0f"/>`+"\n", width, height)
	p.label(&s, left, 28, "text title", "start", p.Title)
	p.label(&s, left, 48, "weak", "start", p.Subtitle)
	for i, panel := range p.Panels {
		p.panel(&s, panel, top+float64(i)*(tall+panelGap))
	}
	p.lanes(&s, lanesTop)
	p.time(&s, bottom)
	for _, m := range p.Marks {
		x := p.x(m.At)
		_, _ = fmt.Fprintf(&s, `<path class="mark" d="M%.1f %.1fV%.1f"/>`+"\n", x, top-18, bottom)
		p.label(&s, x+6, top-10, "marked", "start", m.What)
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (p *picture) label(s *strings.Builder, x, y float64, class, anchor, text string) {
	_, _ = fmt.Fprintf(s, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, escape(text))
}

func (p *picture) x(seconds float64) float64 {
	return left + (rightEnd-left)*min(max(seconds/p.Seconds, 0), 1)
}

// panel draws one panel whose upper edge is at y.
func (p *picture) panel(s *strings.Builder, panel panel, y float64) {
	title := panel.Title
	if panel.Unit != "" {
		title += ", " + panel.Unit
	}
	p.label(s, left, y-8, "text head", "start", title)
	for _, l := range p.Lanes {
		for _, b := range l.Bands {
			if b.What != "flood" {
				p.rect(s, l.Name+" shade", b, y, tall)
			}
		}
	}
	scale := panel.scale()
	for _, tick := range scale.ticks {
		at := y + tall - tall*scale.place(tick)
		_, _ = fmt.Fprintf(s, `<path class="grid" d="M%.1f %.1fH%.1f"/>`+"\n", left, at, rightEnd)
		p.label(s, left-8, at+4, "weak", "end", fmt.Sprintf("%g", tick))
	}
	p.frame(s, y, tall)
	legend := rightEnd
	for i, l := range slices.Backward(panel.Lines) {
		legend -= 7*float64(len(l.Name)) + 46
		_, _ = fmt.Fprintf(s, `<path class="l l%d" d="M%.1f %.1fh26"/>`+"\n", i, legend, y-12)
		p.label(s, legend+32, y-8, "text", "start", l.Name)
		var path strings.Builder
		for _, at := range l.Points {
			command := "L"
			if path.Len() == 0 {
				command = "M"
			}
			_, _ = fmt.Fprintf(&path, "%s%.1f %.1f", command, p.x(at.X), y+tall-tall*scale.place(at.Y))
		}
		_, _ = fmt.Fprintf(s, `<path class="l l%d" d="%s"/>`+"\n", i, path.String())
	}
}

func (p *picture) rect(s *strings.Builder, class string, b band, y, tall float64) {
	from, to := p.x(b.From), p.x(b.To)
	_, _ = fmt.Fprintf(s, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`+"\n",
		class, from, y, max(to-from, 1), tall, escape(b.What))
}

func (p *picture) frame(s *strings.Builder, y, tall float64) {
	_, _ = fmt.Fprintf(s, `<rect class="frame" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", left, y, rightEnd-left, tall)
}

// lanes names the bands.
func (p *picture) lanes(s *strings.Builder, y float64) {
	p.label(s, left, y-10, "text head", "start", "faults of each issuer (shaded above) and floods of unknown key IDs (pale)")
	for _, l := range p.Lanes {
		p.label(s, left-8, y+13, "text", "end", l.Name)
		for _, b := range l.Bands {
			class := l.Name + " block"
			if b.What == "flood" {
				class = l.Name + " flood"
			}
			p.rect(s, class, b, y, laneTall)
		}
		p.frame(s, y, laneTall)
		y += laneTall + 6
	}
}

// time draws the axis of time.
func (p *picture) time(s *strings.Builder, y float64) {
	step := 60.0
	for _, longer := range []float64{5, 10, 30, 60, 300, 600, 1800, 3600} {
		if step = longer; p.Seconds/step <= 12 {
			break
		}
	}
	unit, of := "minutes", 60.0
	if step < 60 {
		unit, of = "seconds", 1
	}
	for at := 0.0; at <= p.Seconds; at += step {
		p.label(s, p.x(at), y+16, "weak", "middle", fmt.Sprintf("%g", at/of))
	}
	p.label(s, (left+rightEnd)/2, y+40, "text", "middle", "time, "+unit)
}

// scale places values between 0 and 1.
type scale struct {
	log      bool
	low, top float64
	ticks    []float64
}

func (p *panel) scale() scale {
	most := 0.0
	for _, l := range p.Lines {
		for _, at := range l.Points {
			most = max(most, at.Y)
		}
	}
	sc := scale{log: p.Log}
	if p.Log {
		sc.low, sc.top = 0.1, 1
		for sc.top < most {
			sc.top *= 10
		}
		for tick := sc.low; tick <= sc.top*1.01; tick *= 10 {
			sc.ticks = append(sc.ticks, math.Round(tick*10)/10)
		}
		return sc
	}
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1))))
	for _, finer := range []float64{2, 2.5, 2} {
		if most/step < 3 {
			step /= finer
		}
	}
	for tick := 0.0; ; tick += step {
		sc.ticks, sc.top = append(sc.ticks, tick), tick
		if tick >= most {
			return sc
		}
	}
}

func (s *scale) place(v float64) float64 {
	if s.log {
		return max(0, math.Log(max(v, s.low)/s.low)/math.Log(s.top/s.low))
	}
	return v / s.top
}
