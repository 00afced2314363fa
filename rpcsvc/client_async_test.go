package rpcsvc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestSpecsAreTakenAsGiven changes a spec as soon as it was given to Go and SubmitFunc, as one does who
// submits one job a file in a loop.
func TestSpecsAreTakenAsGiven(t *testing.T) {
	jobs := newFakeJobs()
	_, addr := start(t, jobs, ServerOptions{})
	c := connect(t, addr, ClientOptions{})
	const n = 50
	spec := mr.Spec{Args: make([]string, 1), Inputs: make([]string, 1), Env: make([]string, 1)}
	fill := func(i int) {
		spec.Args[0], spec.Inputs[0], spec.Env[0] = fmt.Sprint("a", i), fmt.Sprint("in", i), fmt.Sprint("E=", i)
	}
	told := make(chan error, n)
	for i := range n {
		fill(i)
		then := func(_ mr.JobID, err error) { told <- err }
		if id := mr.SubmitID(fmt.Sprint(i)); i%2 == 0 {
			c.SubmitFunc(t.Context(), id, spec, then)
		} else {
			call := c.Go(t.Context(), id, spec, nil)
			go func() { told <- (<-call.Done).Error }()
		}
	}
	fill(n)
	for range n {
		if err := <-told; err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		fill(i)
		st := jobs.jobs[jobs.ids[mr.SubmitID(fmt.Sprint(i))]].Spec
		if st.Args[0] != spec.Args[0] || st.Inputs[0] != spec.Inputs[0] || st.Env[0] != spec.Env[0] {
			t.Errorf("submission %d is of %v %v %v", i, st.Args, st.Inputs, st.Env)
		}
	}
}

// TestManyWaits has a client wait for many jobs at once, and give up on as many others. Its other calls are
// answered meanwhile.
func TestManyWaits(t *testing.T) {
	jobs := newFakeJobs()
	_, addr := start(t, jobs, ServerOptions{})
	c := connect(t, addr, ClientOptions{})
	job, err := c.Submit(t.Context(), "a", mr.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Status(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	waiting, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 600 {
		ctx, giveUp := waiting, func() {}
		if i%2 == 0 {
			ctx, giveUp = context.WithCancel(waiting)
		}
		all.Go(func() { c.Wait(ctx, job, st.Version) }) //nolint:errcheck // nothing happens to the job
		time.AfterFunc(10*time.Millisecond, giveUp)
	}
	time.Sleep(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := c.Status(ctx, job); err != nil {
		t.Errorf("beside its waits the client asks in vain: %v", err)
	}
	end()
	all.Wait()
}

// TestNoVariables submits from an empty environment, which is not the daemon's.
func TestNoVariables(t *testing.T) {
	jobs := newFakeJobs()
	_, addr := start(t, jobs, ServerOptions{})
	c := connect(t, addr, ClientOptions{})
	for id, env := range map[mr.SubmitID][]string{"none": {}, "given": {"A=b"}, "daemon": nil} {
		job, err := c.Submit(t.Context(), id, mr.Spec{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		got := jobs.jobs[job].Spec.Env
		if (got == nil) != (env == nil) || slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, "=") && !slices.Contains(env, v) }) {
			t.Errorf("%s: %q became %q", id, env, got)
		}
	}
}

// TestContextWhileSending has a daemon that does not read any more: a long request is stuck on the way, and
// others behind it. Each of them returns when its context ends.
func TestContextWhileSending(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // the test is over
	_, real := start(t, newFakeJobs(), ServerOptions{})
	over := make(chan struct{})
	defer close(over)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close() //nolint:errcheck // the test is over
				daemon, err := net.Dial("unix", strings.TrimPrefix(real, "unix:"))
				if err != nil {
					return
				}
				defer daemon.Close() //nolint:errcheck // likewise
				go func() {
					buf := make([]byte, 4096)
					n, _ := nc.Read(buf) // Hello, and nothing after that
					daemon.Write(buf[:n])
				}()
				buf := make([]byte, 4096)
				n, _ := daemon.Read(buf)
				nc.Write(buf[:n])
				<-over
			}()
		}
	}()
	c := connect(t, "unix:"+addr, ClientOptions{})
	long := mr.Spec{Inputs: []string{strings.Repeat("x", 4<<20)}}
	ended := make(chan error)
	for i := range 5 {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			var err error
			if i == 0 {
				_, err = c.Submit(ctx, "a", long)
			} else {
				time.Sleep(10 * time.Millisecond)
				_, err = c.Status(ctx, "job_x")
			}
			ended <- err
		}()
	}
	limit := time.After(5 * time.Second)
	for range 5 {
		select {
		case err := <-ended:
			if !errors.Is(err, mr.ErrInterrupted) {
				t.Errorf("got %v", err)
			}
		case <-limit:
			t.Fatal("a call goes on when its context has ended")
		}
	}
}
