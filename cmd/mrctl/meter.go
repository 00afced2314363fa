package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	mr "github.com/mrd-io/mr"
)

// meter turns the statuses of a job, as they come, into what people want to know of it.
type meter struct {
	status  mr.Status
	phase   string
	began   time.Time // of the phase
	samples []sample  // of the phase, oldest first, of the last rateWindow and one before
}

type sample struct {
	at   time.Time
	done int64
}

// rateWindow is long enough to smooth tasks that report at their end, and short enough to show a change.
const rateWindow = 8 * time.Second

func (m *meter) add(s mr.Status, now time.Time) {
	if s.Phase != m.phase {
		m.phase, m.began, m.samples = s.Phase, now, m.samples[:0]
	}
	m.status = s
	done := m.phaseStatus().BytesDone
	if n := len(m.samples); n > 0 && m.samples[n-1].done == done {
		return
	}
	m.samples = append(m.samples, sample{now, done})
	for len(m.samples) > 2 && now.Sub(m.samples[1].at) > rateWindow {
		m.samples = m.samples[1:]
	}
}

func (m *meter) phaseStatus() mr.PhaseStatus {
	if m.phase == "reduce" || m.phase == "commit" {
		return m.status.Reduce
	}
	return m.status.Map
}

// phaseName is what people call a phase: nothing is reduced where a job is map-only.
func phaseName(s mr.Status, phase string) string {
	if phase == "reduce" && s.MapOnly {
		return "write"
	}
	return phase
}

// view is a moment of a job.
type view struct {
	phase              string
	fraction           float64 // done, of the phase; negative: not known
	tasks, done        int
	cached             int
	running            int
	bytesDone, bytes   int64
	rate               float64       // bytes a second; 0: not known
	left               time.Duration // 0: not known
	elapsed            time.Duration
	failed, recomputed int
}

func (m *meter) view(now time.Time) view {
	p := m.phaseStatus()
	v := view{
		phase: orElse(phaseName(m.status, m.phase), "starting"), fraction: -1, tasks: p.Tasks, done: min(p.Cached+p.Run, p.Tasks), cached: p.Cached,
		running: p.Running, bytesDone: min(p.BytesDone, p.BytesTotal), bytes: p.BytesTotal, failed: p.Failed, recomputed: p.Recomputed,
	}
	if !m.status.Submitted.IsZero() {
		v.elapsed = max(0, now.Sub(m.status.Submitted))
	}
	switch m.phase {
	case "planning", "shuffle", "commit", "":
		return v
	}
	switch {
	case v.bytes > 0:
		v.fraction = float64(v.bytesDone) / float64(v.bytes)
	case v.tasks > 0:
		v.fraction = float64(v.done) / float64(v.tasks)
	}
	if len(m.samples) > 0 {
		first, last := m.samples[0], m.samples[len(m.samples)-1]
		// Up to now, not to the last sample: a job that stands still gets slower to look at.
		if span := now.Sub(first.at).Seconds(); span > 0.5 && last.done > first.done {
			v.rate = float64(last.done-first.done) / span
			v.left = time.Duration(float64(v.bytes-v.bytesDone) / v.rate * float64(time.Second))
		}
	}
	return v
}

// line is v in words, for a log.
func (v view) line() string {
	parts := []string{v.phase}
	if v.fraction >= 0 {
		parts[0] = fmt.Sprintf("%s %d%%", v.phase, int(100*v.fraction))
	}
	if s := v.taskWords(); s != "" {
		parts = append(parts, s)
	}
	if v.bytes > 0 {
		parts = append(parts, bytesOf(v.bytesDone)+" of "+bytesOf(v.bytes))
	}
	if v.rate > 0 {
		parts = append(parts, rateOf(v.rate))
	}
	if s := v.leftWords(); s != "" {
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func (v view) taskWords() string {
	if v.tasks == 0 {
		return ""
	}
	s := fmt.Sprintf("%s of %s", humanize.Comma(int64(v.done)), plural(v.tasks, "task"))
	if v.cached > 0 {
		s += fmt.Sprintf(" (%s cached)", humanize.Comma(int64(v.cached)))
	}
	return s
}

func (v view) leftWords() string {
	if v.left <= 0 || v.left > 100*time.Hour {
		return ""
	}
	if v.left < time.Second {
		return "< 1 s left"
	}
	return shortDuration(v.left) + " left"
}

func bytesOf(n int64) string          { return humanize.Bytes(uint64(max(0, n))) }
func rateOf(r float64) string         { return humanize.Bytes(uint64(max(0, r))) + "/s" }
func comma[N int | int64](n N) string { return humanize.Comma(int64(n)) }

func plural(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return humanize.Comma(int64(n)) + " " + noun
}

// shortDuration is d with two units at most, rounded as people would.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func secondsDuration(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
