package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	mr "github.com/mrd-io/mr"
)

// endedRun is a store in which a run has written an output, and whose present process has it since opened.
type endedRun struct {
	fakeJobs
	output        string
	ended, opened time.Time
}

func (r *endedRun) Jobs() mr.Jobs                              { return r }
func (r *endedRun) Close(context.Context) error                { return nil }
func (r *endedRun) Opened() time.Time                          { return r.opened }
func (r *endedRun) ImportBinary(string) (c mr.Code, err error) { return c, nil }

func (r *endedRun) List(_ context.Context, all bool) (list []mr.Status, err error) {
	if all {
		list = append(list, mr.Status{Job: fakeJob, Submit: ownPrefix + "1", State: mr.Succeeded, Output: r.output, Ended: r.ended})
	}
	return list, nil
}

// An output that a killed run's job has published when this process took the job up is replaced, as the
// line says that is typed again. One that another run had finished when this one got the store is not.
func TestOutputOfAnotherRunIsNotReplaced(t *testing.T) {
	opened, out := time.Now(), t.TempDir()
	for ended, want := range map[time.Duration]bool{time.Millisecond: true, -time.Millisecond: false} {
		r := &endedRun{output: out, ended: opened.Add(ended), opened: opened}
		a := app{err: &notes{w: &bytes.Buffer{}}}
		published, err := a.replaceStray(t.Context(), &session{Jobs: r, node: r}, mr.Spec{Output: out})
		if err != nil || published != want {
			t.Errorf("ended %v after the store was opened: to be replaced: %v, %v", ended, published, err)
		}
	}
}
