package main

import (
	"testing"
	"time"

	"github.com/mrd-io/mr/clock"
)

// What is printed of an offset holds as the report does: the digits left away are in the bound.
func TestOffsetWords(t *testing.T) {
	for _, c := range []struct {
		offset, bound time.Duration
		want          string
	}{
		{3214567890, 100 * time.Microsecond, "+3.21457 s ± 103 µs"},
		{-123456789, 15 * time.Microsecond, "-123.457 ms ± 15.3 µs"},
		{-3 * time.Millisecond, 40 * time.Microsecond, "-3 ms ± 40 µs"},
		{50054362, 50268571, "+50.1 ms ± 50.4 ms"},
		{5, time.Second, "+5 ns ± 1 s"},
		{0, 123456, "+0 ns ± 124 µs"},
		{-999999999, 9, "-999.999999 ms ± 9 ns"},
		{90 * time.Second, 1, "+90 s ± 1 ns"},
		{1774463665123456789, 12 * time.Microsecond, "+1774463665.123457 s ± 12.3 µs"}, // of a machine that began in 1970
	} {
		if got := offsetWords(clock.Report{Offset: c.offset, Bound: c.bound}); got != c.want {
			t.Errorf("%d ± %d is %q, want %q", c.offset, c.bound, got, c.want)
		}
	}
}

// A bound is never shown as less than it is.
func TestBoundWords(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 ns", 999: "999 ns", 1001: "1.01 µs", 1774463665123456789: "1780000000 s"} {
		if got := boundWords(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}

// A clock that does not know the time proves nothing.
func TestCheckOfAnUnknownTime(t *testing.T) {
	if err := checkTime(clock.Report{State: clock.Disrupted, LastAlarm: "suspended for 3 s"}, time.Hour); err == nil {
		t.Error("the check passes")
	}
}
