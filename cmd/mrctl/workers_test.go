package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	mr "github.com/mrd-io/mr"
)

var crew = []mr.Worker{
	{Name: "daemon", Host: "one", Slots: 3, Running: 3, State: mr.WorkerBusy, Joined: noon.Add(-time.Hour), Clock: "its own"},
	{Name: "b", Host: "two", Slots: 9, State: mr.WorkerIdle, Joined: noon.Add(-time.Minute), Lease: time.Second, Clock: "synced", Offset: -3 * time.Millisecond, Bound: 40 * time.Microsecond},
	{Name: "c", Host: "two", Slots: 9, State: mr.WorkerSilent, Silent: 42 * time.Second, Joined: noon.Add(-time.Minute), Lease: time.Second, Clock: "unsynced"},
	{Name: "d", Host: "six", Slots: 1, State: mr.WorkerResting, Rests: noon.Add(8 * time.Second), Joined: noon.Add(-time.Minute), Lease: time.Second, Clock: "holdover", Offset: 5, Bound: time.Second},
	{Name: "e", Host: "six", Slots: 1, State: mr.WorkerResting, Rests: noon.Add(-time.Millisecond), Joined: noon.Add(-time.Minute), Lease: time.Second, Clock: "synced"},
}

func TestPrintWorkers(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	if err := a.printWorkers(crew, noon); err != nil {
		t.Fatal(err)
	}
	const want = `WORKER  HOST  STATE               RUNNING  SLOTS  JOINED        CLOCK
daemon  one   busy                      3      3  1 hour ago    its own
b       two   idle                      0      9  1 minute ago  -3 ms ± 40 µs
c       two   silent for 42.00 s        0      9  1 minute ago  unsynced
d       six   resting for 8.00 s        0      1  1 minute ago  +5 ns ± 1 s, holdover
e       six   resting                   0      1  1 minute ago  synced
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	a.json = true
	if err := a.printWorkers(crew, noon); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Workers []struct {
			Name   string
			Local  bool
			Offset *int64 `json:"clock_offset_ns"`
			Bound  *int64 `json:"clock_bound_ns"`
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Workers) != 5 {
		t.Fatalf("%v: %s", err, out.String())
	}
	if w := got.Workers; !w[0].Local || *w[0].Bound != 0 || *w[1].Offset != -3_000_000 || *w[1].Bound != 40_000 || w[2].Offset != nil || w[2].Bound != nil {
		t.Errorf("%s", out.String())
	}
}

func TestPrintTimeline(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	list := []mr.TaskTimes{
		{Task: "m-00000", Worker: "daemon", State: mr.Succeeded, Known: true, Began: at(0), Ended: at(500), Took: 500 * time.Millisecond},
		{Task: "m-00001", Worker: "b", State: mr.Succeeded, Known: true, Began: at(250), Ended: at(750), BeganBound: 100 * time.Millisecond, EndedBound: 50 * time.Millisecond, Took: 500 * time.Millisecond},
		{Task: "r-00000", Worker: "daemon", State: mr.Running, Known: true, Began: at(750), Took: 250 * time.Millisecond},
		{Task: "m-00002", Worker: "c", State: mr.Succeeded, Took: time.Second},
	}
	if err := a.printTimeline(list); err != nil {
		t.Fatal(err)
	}
	const want = `TASK     WORKER     BEGAN                      TOOK
m-00000  daemon  +0.000 s                    500 ms  ━━━━━━━━━━━━━━━━━━━━━
m-00001  b       +0.250 s  ± 100 ms          500 ms        ╌╌╌╌╌╌╌╌━━━━━━━━━━━━━━━╌╌╌╌
r-00000  daemon  +0.750 s                    250 ms                                ━━━━━━━━━▶
m-00002  c              ?  not synchronised  1.00 s
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := a.printTimelineJSON("job_x", list); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Timeline []struct {
			Synced bool
			Began  *time.Time
			Ended  *time.Time
			Bound  int64 `json:"began_bound_ns"`
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Timeline) != 4 {
		t.Fatalf("%v: %s", err, out.String())
	}
	if x := got.Timeline; x[1].Bound != 100_000_000 || !x[1].Began.Equal(at(250)) || x[2].Ended != nil || x[3].Synced || x[3].Began != nil {
		t.Errorf("%s", out.String())
	}
}
