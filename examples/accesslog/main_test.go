package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// generate writes n log lines and returns what they add up to. The same seed makes the
// same log.
func generate(seed uint64, n int) (lines []string, want map[key]traffic, malformed int64) {
	rng := rand.New(rand.NewPCG(seed, seed))
	want = map[key]traffic{}
	at := time.Date(2025, 12, 31, 22, 30, 0, 0, time.UTC)
	zones := []*time.Location{time.UTC, time.FixedZone("", 2*3600), time.FixedZone("", -(3*3600 + 1800))}
	paths := []string{"/", "/a b", `/q\"uote`, "/x?y=[z]"}
	junk := []string{"", "oops", `1.2.3.4 - - [bad time] "GET / HTTP/1.1" 200 1`, `h - - [01/Jan/2026:00:00:00 +0000] "GET / 200 17`,
		`h - - [01/Jan/2026:00:00:00 +0000] "GET /" OK 17`, `h - - [01/Jan/2026:00:00:00 +0000] "GET /" 200 -5`, "\x16\x03\x01\x00"}
	for range n {
		at = at.Add(time.Duration(rng.IntN(40)) * time.Second)
		if rng.IntN(20) == 0 {
			lines = append(lines, junk[rng.IntN(len(junk))])
			malformed++
			continue
		}
		host := fmt.Sprintf("10.0.0.%d", rng.IntN(5))
		status := []int{200, 304, 404, 500}[rng.IntN(4)]
		size, bytes := "-", int64(0)
		if status != 304 {
			bytes = rng.Int64N(1 << 40)
			size = fmt.Sprint(bytes)
		}
		lines = append(lines, fmt.Sprintf(`%s - user [%s] "GET %s HTTP/1.1" %d %s "http://ref/" "agent \"x\""`, host,
			at.In(zones[rng.IntN(len(zones))]).Format(apacheTime), paths[rng.IntN(len(paths))], status, size))
		failed := int64(0)
		if status >= 400 {
			failed = 1
		}
		k := mr.T2(at.Format("2006-01-02T15"), host)
		want[k] = add(want[k], traffic{A: 1, B: bytes, C: failed})
	}
	return lines, want, malformed
}

func TestAccesslog(t *testing.T) {
	lines, want, malformed := generate(7, 5000)
	task := new(mr.Task)
	p, err := newParser(task)
	if err != nil {
		t.Fatal(err)
	}
	got := map[key]traffic{}
	for _, l := range lines {
		if err := p.Map(l, func(k key, v traffic) { got[k] = add(got[k], v) }); err != nil {
			t.Fatal(err)
		}
	}
	bad := int64(0)
	for _, why := range []error{errHost, errTime, errRequest, errStatus, errBytes} {
		bad += task.Counter("accesslog", "malformed: "+why.Error()).Value
	}
	if bad != malformed {
		t.Errorf("%d malformed lines, want %d", bad, malformed)
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d sums differ from the %d generated", len(got), len(want))
	}
}

func TestMalformedSaysWhy(t *testing.T) {
	p := &parser{}
	for line, want := range map[string]error{
		"":                  errHost,
		"host":              errHost,
		"h - - no brackets": errTime,
		`h - - [x] "GET"`:   errTime,
		`h - - [99/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1`: errTime,
		`h - - [01/Jan/2026:00:00:00 +0000] "GET \"`:                errRequest,
		`h - - [01/Jan/2026:00:00:00 +0000] "GET" 2000 1`:           errStatus,
		`h - - [01/Jan/2026:00:00:00 +0000] "GET" 200`:              errBytes,
		`h - - [01/Jan/2026:00:00:00 +0000] "GET" 200 1`:            nil,
	} {
		if _, err := p.parse(line); err != want {
			t.Errorf("%q: %v, want %v", line, err, want)
		}
	}
}

// What a parser makes of a line must not depend on the lines before it: a split may begin
// anywhere.
func TestLinesStandAlone(t *testing.T) {
	line := func(at string) string { return `h - - [01/Jan/2026:00:07` + at + ` +0000] "GET /" 200 1` }
	before := &parser{}
	for _, at := range []string{":00", ":59", ":60", ":99", ":x0", ":0x", "-00", ":  "} {
		if _, err := before.parse(line(":30")); err != nil {
			t.Fatal(err)
		}
		first, then := new(parser), before
		want, wantErr := first.parse(line(at))
		got, gotErr := then.parse(line(at))
		if got != want || gotErr != wantErr {
			t.Errorf("00:07%s behind a line of the same minute: %v, %v; alone: %v, %v", at, got, gotErr, want, wantErr)
		}
	}
}
