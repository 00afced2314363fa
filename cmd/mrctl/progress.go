package main

import (
	"fmt"
	"io"
	"time"

	mr "github.com/mrd-io/mr"
)

// progress shows a job under way, on stderr. Its methods are called by one goroutine.
type progress interface {
	update(s mr.Status, now time.Time)
	tick(now time.Time) // time went by
	note(text string)   // a message, clear of what is shown
	close()             // leaves nothing behind that looks unfinished; may be called again
}

func (a *app) newProgress() progress {
	switch {
	case a.quiet:
		return noProgress{a.err}
	case a.errBar:
		return newBarProgress(a.err, a.env("NO_COLOR") == "")
	default:
		return &lineProgress{w: a.err, start: time.Now()}
	}
}

type noProgress struct{ w io.Writer }

func (noProgress) update(mr.Status, time.Time) {}
func (noProgress) tick(time.Time)              {}
func (p noProgress) note(text string)          { writeNote(p.w, text) }
func (noProgress) close()                      {}

func writeNote(w io.Writer, text string) {
	// Progress that cannot be shown is no reason to fail a job.
	_, _ = fmt.Fprintf(w, "mrctl: %s\n", shownText(text))
}

// lineProgress writes a line every few seconds, for logs. A job that ends before the first is silent.
type lineProgress struct {
	w     io.Writer
	start time.Time
	next  time.Duration // since start, of the next line
	meter meter
	seen  bool
}

const (
	firstLine = 3 * time.Second
	lineEvery = 5 * time.Second
)

func (p *lineProgress) update(s mr.Status, now time.Time) {
	p.meter.add(s, now)
	p.seen = true
	p.tick(now)
}

func (p *lineProgress) tick(now time.Time) {
	if !p.seen || now.Sub(p.start) < max(p.next, firstLine) {
		return
	}
	p.next = now.Sub(p.start) + lineEvery
	writeNote(p.w, p.meter.view(now).line())
}

func (p *lineProgress) note(text string) { writeNote(p.w, text) }
func (p *lineProgress) close()           {}
