package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/internal/exit"
)

// slowJob is a job that runs for a while, in a daemon that may be away for a while.
type slowJob struct {
	fakeJobs
	start   time.Time
	runs    time.Duration
	away    time.Duration // from start: nothing answers
	mu      sync.Mutex
	killed  bool
	deaf    bool          // Kill fails
	hangs   time.Duration // the first Wait, whose connection breaks then
	warns   string        // from the first second on
	submits map[mr.SubmitID]int
}

func (j *slowJob) reach() error {
	if time.Since(j.start) < j.away {
		return mr.Errorf(mr.Unreachable, "connection refused")
	}
	return nil
}

func (j *slowJob) Submit(_ context.Context, id mr.SubmitID, _ mr.Spec) (mr.JobID, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.submits == nil {
		j.submits = map[mr.SubmitID]int{}
	}
	j.submits[id]++
	return fakeJob, j.reach()
}

func (j *slowJob) Status(context.Context, mr.JobID) (mr.Status, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := mr.Status{Job: fakeJob, State: mr.Running, Phase: "map", Submitted: j.start, Map: mr.PhaseStatus{Tasks: 100, BytesTotal: 1e9}}
	gone := time.Since(j.start)
	s.Version = uint64(gone / time.Millisecond)
	s.Map.Run = int(100 * gone / j.runs)
	s.Map.BytesDone = int64(s.Map.Run) * 1e7
	if j.warns != "" && gone > time.Second {
		s.Warnings = []string{j.warns}
	}
	switch {
	case j.killed:
		s.State = mr.Killed
	case gone >= j.runs:
		s.State = mr.Succeeded
	}
	return s, j.reach()
}

func (j *slowJob) Wait(ctx context.Context, job mr.JobID, _ uint64) (mr.Status, error) {
	if hangs := j.hangs; hangs > 0 {
		j.hangs = 0
		sleep(ctx, hangs)
		return mr.Status{}, mr.Errorf(mr.Unreachable, "the connection broke")
	}
	sleep(ctx, 70*time.Millisecond)
	if ctx.Err() != nil {
		return mr.Status{}, ctx.Err()
	}
	return j.Status(ctx, job)
}

func (j *slowJob) Kill(ctx context.Context, _ mr.JobID) error {
	if j.deaf {
		return mr.Errorf(mr.Unreachable, "the connection broke")
	}
	sleep(ctx, 200*time.Millisecond)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.killed = true
	return nil
}

// following runs f with an app and a session on j, in time that passes as fast as it can.
func following(t *testing.T, j *slowJob, f func(t *testing.T, a *app, s *session, stderr *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		j.start = time.Now()
		var stderr bytes.Buffer
		a := &app{out: &bytes.Buffer{}, err: &notes{w: &stderr}, env: func(string) string { return "" }, dir: "/"}
		f(t, a, &session{Jobs: j, daemon: "unix:/d"}, &stderr)
	})
}

func TestFollowWritesLines(t *testing.T) {
	following(t, &slowJob{runs: 20 * time.Second}, func(t *testing.T, a *app, s *session, stderr *bytes.Buffer) {
		status, err := a.follow(t.Context(), s, fakeJob, killJob)
		if err != nil || status.State != mr.Succeeded {
			t.Fatalf("got %v, %v", status.State, err)
		}
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		if len(lines) != 4 || !strings.HasPrefix(lines[1], "mrctl: map 39%, 39 of 100 tasks, 390 MB of 1.0 GB, 49 MB/s, 12 s left") {
			t.Errorf("20 s of progress are lines at 3, 8, 13 and 18 s, and were:\n%s", stderr)
		}
	})
}

// A command that gives up on a daemon that has gone says what becomes of the job, which was acknowledged.
func TestFollowDaemonGone(t *testing.T) {
	following(t, &slowJob{runs: time.Second, away: time.Hour}, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
		_, err := a.follow(t.Context(), s, fakeJob, leaveJob)
		if !errors.Is(err, mr.ErrUnreachable) || !strings.Contains(err.Error(), string(fakeJob)+" is on record") || !strings.Contains(err.Error(), "mrctl wait "+string(fakeJob)) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFollowShortJobIsSilent(t *testing.T) {
	following(t, &slowJob{runs: 2 * time.Second}, func(t *testing.T, a *app, s *session, stderr *bytes.Buffer) {
		if _, err := a.follow(t.Context(), s, fakeJob, killJob); err != nil || stderr.Len() > 0 {
			t.Errorf("got %v and %q", err, stderr)
		}
		if took := time.Since(s.Jobs.(*slowJob).start); took > 2200*time.Millisecond {
			t.Errorf("a job of 2 s was reported after %v", took)
		}
	})
}

// A job that waits, as for a disk that is full, says so while it waits.
func TestFollowTellsWarnings(t *testing.T) {
	const full = "storage is full: no space left on device; the job goes on when there is room"
	following(t, &slowJob{runs: time.Hour, warns: full}, func(t *testing.T, a *app, s *session, stderr *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := a.follow(ctx, s, fakeJob, leaveJob); exit.Status(err) != exit.Interrupted {
			t.Error(err)
		}
		if n := strings.Count(stderr.String(), "mrctl: warning: "+full+"\n"); n != 1 {
			t.Errorf("the warning was told %d times:\n%s", n, stderr)
		}
	})
}

func TestFollowInterrupt(t *testing.T) {
	for _, c := range []struct {
		name      string
		interrupt onInterrupt
		deaf      bool
		killed    bool
		words     string
	}{
		{"kill", killJob, false, true, "was cancelled and left no output"},
		{"leave", leaveJob, false, false, "stopped waiting; job " + string(fakeJob) + " goes on"},
		{"deaf", killJob, true, false, "could not be cancelled: the connection broke"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := &slowJob{runs: time.Hour, deaf: c.deaf}
			following(t, j, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := a.follow(ctx, s, fakeJob, c.interrupt)
				if exit.Status(err) != exit.Interrupted || !strings.Contains(err.Error(), c.words) || j.killed != c.killed {
					t.Errorf("got %v (exit %d), killed %v", err, exit.Status(err), j.killed)
				}
			})
		})
	}
}

func TestFollowOutlivesADaemon(t *testing.T) {
	following(t, &slowJob{runs: 15 * time.Second, away: 10 * time.Second}, func(t *testing.T, a *app, s *session, stderr *bytes.Buffer) {
		status, err := a.follow(t.Context(), s, fakeJob, leaveJob)
		if err != nil || status.State != mr.Succeeded {
			t.Errorf("got %v, %v", status.State, err)
		}
		if !strings.Contains(stderr.String(), "the daemon does not answer (connection refused); trying again for 30s") {
			t.Errorf("nothing told of the wait: %q", stderr)
		}
	})
	following(t, &slowJob{runs: 15 * time.Second, away: time.Hour}, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
		if _, err := a.follow(t.Context(), s, fakeJob, leaveJob); !errors.Is(err, mr.ErrUnreachable) {
			t.Errorf("a daemon that stays away: %v", err)
		}
	})
}

// A connection that breaks after a long time is made anew: the daemon has been away from then on.
func TestFollowOutlivesALongCall(t *testing.T) {
	following(t, &slowJob{runs: 10 * time.Minute, hangs: 2 * retryFor}, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
		if status, err := a.follow(t.Context(), s, fakeJob, leaveJob); err != nil || status.State != mr.Succeeded {
			t.Errorf("got %v, %v", status.State, err)
		}
	})
}

// Who interrupts mrctl while it waits for a daemon that has gone is told so by the status as well.
func TestSubmitInterrupted(t *testing.T) {
	following(t, &slowJob{runs: time.Hour, away: time.Hour}, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := a.submit(ctx, s, "sub_x", mr.Spec{})
		if exit.Status(err) != exit.Interrupted || !strings.Contains(err.Error(), "--submit-id sub_x") {
			t.Errorf("got %v (exit %d)", err, exit.Status(err))
		}
	})
}

func TestSubmitKeepsItsID(t *testing.T) {
	j := &slowJob{runs: time.Hour, away: 5 * time.Second}
	following(t, j, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
		job, err := a.submit(t.Context(), s, "sub_x", mr.Spec{})
		if err != nil || job != fakeJob || len(j.submits) != 1 || j.submits["sub_x"] < 3 {
			t.Errorf("got %v, %v after %v", job, err, j.submits)
		}
	})
	following(t, &slowJob{away: time.Hour}, func(t *testing.T, a *app, s *session, _ *bytes.Buffer) {
		if _, err := a.submit(t.Context(), s, "sub_x", mr.Spec{}); exit.Status(err) != 3 || !strings.Contains(err.Error(), "--submit-id sub_x") {
			t.Errorf("giving up: %v", err)
		}
	})
}

func TestNewSubmitID(t *testing.T) {
	a, b := newSubmitID(noon), newSubmitID(noon.Add(time.Millisecond))
	if len(a) != 30 || !(a < b) || newSubmitID(noon) == a {
		t.Errorf("ids %q, %q: want 26 characters that sort by time and differ", a, b)
	}
}

func TestOutcome(t *testing.T) {
	for state, want := range map[mr.State]int{mr.Succeeded: 0, mr.FailedJob: 1, mr.Killed: 1} {
		if got := exit.Status(outcome(mr.Status{State: state})); got != want {
			t.Errorf("%s: exit status %d, want %d", state, got, want)
		}
	}
}
