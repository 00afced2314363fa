package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	mr "github.com/mrd-io/mr"
)

// barProgress is a live line on a terminal. mpb owns the terminal: it finds the width anew for every
// frame, moves the cursor, and writes a frame at once, so nothing flickers. What a frame says is
// barLine's, a function of the moment and the width alone.
type barProgress struct {
	pool   *mpb.Progress
	bar    *mpb.Bar
	err    *notes
	colour bool

	mu    sync.Mutex
	meter meter // guarded by mu: mpb draws on a goroutine of its own
	seen  bool  // guarded by mu
}

// barDelay keeps a bar from flashing up for a job that is done before one could read it.
const barDelay = 300 * time.Millisecond

func newBarProgress(err *notes, colour bool) *barProgress {
	p := &barProgress{err: err, colour: colour}
	delay := make(chan struct{})
	time.AfterFunc(barDelay, func() { close(delay) })
	p.pool = mpb.New(mpb.WithOutput(err.w), mpb.WithAutoRefresh(), mpb.WithRefreshRate(120*time.Millisecond), mpb.WithRenderDelay(delay))
	p.bar = p.pool.MustAdd(1, mpb.BarFillerFunc(p.fill), mpb.BarFillerTrim())
	err.above(p.pool)
	return p
}

func (p *barProgress) fill(w io.Writer, stat decor.Statistics) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.seen {
		return nil
	}
	// One column stays free: some terminals wrap a line that is exactly as wide as they are.
	_, err := io.WriteString(w, lineStart+barLine(p.meter.view(time.Now()), stat.AvailableWidth-1, p.colour))
	return err
}

func (p *barProgress) update(s mr.Status, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meter.add(s, now)
	p.seen = true
}

func (p *barProgress) tick(time.Time) {}

func (p *barProgress) note(text string) { writeNote(p.err, text) }

func (p *barProgress) close() {
	p.err.above(nil)
	p.bar.Abort(true) // takes the line off the screen
	p.pool.Wait()
}

const (
	barLeast = 10 // columns of the bar itself
	barMost  = 40
)

// barLine draws v in width columns. As they get fewer, the least telling parts go first.
func barLine(v view, width int, colour bool) string {
	head := fmt.Sprintf("%-9s", v.phase)
	if v.fraction < 0 {
		return cut(head+shortDuration(v.elapsed), width)
	}
	percent := fmt.Sprintf(" %3d%%", int(100*v.fraction))
	// In the order of the line; rank says which goes first.
	parts := []struct {
		text string
		rank int
	}{
		{v.taskWords(), 2},
		{bytesPair(v), 4},
		{rateWords(v), 3},
		{orElse(v.leftWords(), "elapsed "+shortDuration(v.elapsed)), 1},
	}
	// The bar's width depends on the terminal's alone: it must not twitch as the numbers beside it change.
	columns := min(max(width/4, barLeast), barMost)
	room := width - utf8.RuneCountInString(head+percent) - columns
	keep := make([]bool, len(parts))
	for rank := 1; rank <= len(parts); rank++ {
		for i, part := range parts {
			need := utf8.RuneCountInString(part.text) + 2
			if part.rank == rank && part.text != "" && need <= room {
				keep[i], room = true, room-need
			}
		}
	}
	var tail strings.Builder
	for i, part := range parts {
		if keep[i] {
			tail.WriteString("  " + part.text)
		}
	}
	if room < 0 {
		return cut(v.phase+percent, width)
	}
	return head + drawBar(v, columns, colour) + percent + tail.String()
}

// drawBar is the bar alone: cached tasks first, in their own colour, then what was run.
func drawBar(v view, columns int, colour bool) string {
	full := min(int(v.fraction*float64(columns)), columns)
	if !colour {
		return "[" + strings.Repeat("#", max(0, min(full, columns-2))) + strings.Repeat("-", max(0, columns-2-full)) + "]"
	}
	cached := 0
	if v.tasks > 0 {
		cached = min(full, columns*v.cached/v.tasks)
	}
	return "\x1b[36m" + strings.Repeat("━", cached) + "\x1b[32m" + strings.Repeat("━", full-cached) +
		"\x1b[90m" + strings.Repeat("━", columns-full) + "\x1b[0m"
}

func bytesPair(v view) string {
	if v.bytes == 0 {
		return ""
	}
	return bytesOf(v.bytesDone) + " of " + bytesOf(v.bytes)
}

func rateWords(v view) string {
	if v.rate == 0 {
		return ""
	}
	return rateOf(v.rate)
}

// cut shortens s to width columns.
func cut(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	return string(runes[:max(0, width)])
}
