// Accesslog summarises web server logs in Apache's combined format: requests, bytes sent
// and errors (status 400 and above) for each hour (UTC) and client host.
//
//	mrctl run ./examples/accesslog --input '/var/log/apache2/access.log*' --output hourly
//
// The hour is the first component of the key, so yesterday's part of the output stays
// untouched when today's lines are appended. Lines that are not in the format don't
// stop the job: they are counted by what is wrong with them, and each task prints the
// first few (mrctl logs shows them).
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mrd-io/mr"
)

func main() {
	mr.Main(mr.Job("accesslog", mr.MapFrom(newParser), mr.Combine(add)).
		About("", "Requests, bytes and errors for each hour and host. Output: hour TAB host TAB requests TAB bytes TAB errors."))
}

// key is an hour ("2026-03-01T17") and a host.
type key = mr.Tuple2[string, string]

// traffic is requests, bytes, errors.
type traffic = mr.Tuple3[int64, int64, int64]

func add(a, b traffic) traffic { return traffic{A: a.A + b.A, B: a.B + b.B, C: a.C + b.C} }

// samples is how many malformed lines a task prints.
const samples = 3

// parser is the mapper. Logs are in order of time, so it remembers the last hour.
type parser struct {
	task      *mr.Task
	malformed int
	stamp     string // as the log has it, up to the hour, and its zone
	hour      string // the same in UTC
}

func newParser(t *mr.Task) (mr.Mapper[string, key, traffic], error) {
	return &parser{task: t}, nil
}

// Map takes one line.
func (p *parser) Map(line string, emit mr.Emit[key, traffic]) error {
	r, err := p.parse(line)
	if err != nil {
		p.task.Count("accesslog", "malformed: "+err.Error(), 1)
		if p.malformed++; p.malformed <= samples {
			fmt.Fprintf(os.Stderr, "malformed (%v): %.200q\n", err, line)
		}
		return nil
	}
	failed := int64(0)
	if r.status >= 400 {
		failed = 1
	}
	emit(mr.T2(r.hour, r.host), traffic{A: 1, B: r.bytes, C: failed})
	return nil
}

// request is what matters of a line.
type request struct {
	host, hour string
	status     int
	bytes      int64
}

// What can be wrong with a line. These are names of counters, so there are few.
var (
	errHost    = errors.New("no host")
	errTime    = errors.New("no time")
	errRequest = errors.New("no request")
	errStatus  = errors.New("no status")
	errBytes   = errors.New("no size")
)

// parse reads
//
//	host ident user [10/Oct/2025:13:55:36 +0200] "GET /a\"b HTTP/1.1" 200 2326 "referer" "agent"
//
// of which everything behind the size is optional (that is Apache's common format).
func (p *parser) parse(line string) (r request, err error) {
	var rest string
	var ok bool
	if r.host, rest, ok = strings.Cut(line, " "); !ok || r.host == "" {
		return r, errHost
	}
	_, rest, ok = strings.Cut(rest, " [")
	stamp, rest, closed := strings.Cut(rest, "] \"")
	if !ok || !closed {
		return r, errTime
	}
	if r.hour, err = p.utcHour(stamp); err != nil {
		return r, errTime
	}
	end := closingQuote(rest)
	if end < 0 || !strings.HasPrefix(rest[end:], "\" ") {
		return r, errRequest
	}
	status, rest, _ := strings.Cut(rest[end+2:], " ")
	if r.status, err = strconv.Atoi(status); err != nil || len(status) != 3 {
		return r, errStatus
	}
	size, _, _ := strings.Cut(rest, " ")
	if size == "-" { // nothing was sent
		return r, nil
	}
	if r.bytes, err = strconv.ParseInt(size, 10, 64); err != nil || r.bytes < 0 {
		return r, errBytes
	}
	return r, nil
}

// closingQuote finds the first quote that no backslash escapes.
func closingQuote(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

const apacheTime = "02/Jan/2006:15:04:05 -0700"

func (p *parser) utcHour(stamp string) (string, error) {
	if len(stamp) != len(apacheTime) {
		return "", errTime
	}
	const hourEnd, zone = len("02/Jan/2006:15"), len("02/Jan/2006:15:04:05")
	// Half-hour zones move minutes across the hour, so the minutes belong to the stamp. The
	// seconds don't, but have to be some: what is said of a line must not depend on the line
	// before it, which may be in another task.
	if s := stamp[:hourEnd+3] + stamp[zone:]; s != p.stamp || !isSeconds(stamp[hourEnd+3:zone]) {
		t, err := time.Parse(apacheTime, stamp)
		if err != nil {
			return "", err
		}
		p.stamp, p.hour = s, t.UTC().Format("2006-01-02T15")
	}
	return p.hour, nil
}

// isSeconds reports whether s, of three bytes, is ":00" to ":59".
func isSeconds(s string) bool {
	return s[0] == ':' && '0' <= s[1] && s[1] <= '5' && '0' <= s[2] && s[2] <= '9'
}
