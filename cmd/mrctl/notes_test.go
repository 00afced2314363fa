package main

import (
	"bytes"
	"errors"
	"log/slog"
	"testing"
)

func TestWarningsGoAboveTheBar(t *testing.T) {
	var stderr, bar bytes.Buffer
	n := &notes{w: &stderr}
	log := slog.New(warnings{w: n}).With("store", "/s").WithGroup("g")
	log.Info("nothing to see")
	log.Warn("first", "err", errors.New("no room"))
	n.above(&bar)
	log.Error("second")
	n.above(nil)
	log.Error("third")
	if got, want := stderr.String(), "mrctl: warning: first, store /s, err no room\nmrctl: warning: third, store /s\n"; got != want {
		t.Errorf("stderr has\n%swant\n%s", got, want)
	}
	// What is typed moves the cursor: the line is begun anew, so that nothing of the bar stays before it.
	if got, want := bar.String(), "\r\x1b[Kmrctl: warning: second, store /s\n"; got != want {
		t.Errorf("the bar has %q, want %q", got, want)
	}
}
