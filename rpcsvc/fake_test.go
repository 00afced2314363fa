package rpcsvc

import (
	"context"
	"crypto/rand"
	"net/rpc"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// fakeJobs is an engine of maps: enough to tell one call from another, and to count
// what reached it.
type fakeJobs struct {
	mu      sync.Mutex
	ids     map[mr.SubmitID]mr.JobID
	jobs    map[mr.JobID]mr.Status
	order   []mr.JobID
	made    int           // jobs made
	calls   int           // submissions that arrived
	changed chan struct{} // closed and replaced at every change
	hook    func(ctx context.Context, method string) error
	patient time.Duration // how long Wait waits
}

func newFakeJobs() *fakeJobs {
	return &fakeJobs{
		ids: map[mr.SubmitID]mr.JobID{}, jobs: map[mr.JobID]mr.Status{}, changed: make(chan struct{}), patient: 10 * time.Second,
	}
}

func (f *fakeJobs) called(ctx context.Context, method string) error {
	f.mu.Lock()
	hook := f.hook
	f.mu.Unlock()
	if hook != nil {
		return hook(ctx, method)
	}
	return nil
}

func (f *fakeJobs) Submit(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	if err := f.called(ctx, "Submit"); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if job, ok := f.ids[id]; ok {
		if !reflect.DeepEqual(f.jobs[job].Spec, spec) {
			return "", mr.Errorf(mr.Refused, "submit id %s was used for another spec", id)
		}
		return job, nil
	}
	f.made++
	job := mr.JobID("job_" + rand.Text())
	f.ids[id] = job
	f.jobs[job] = mr.Status{Job: job, Name: spec.Job, Spec: spec, State: mr.Running, Submitted: time.Unix(1700000000, 5), Version: 1}
	f.order = append(f.order, job)
	return job, nil
}

func (f *fakeJobs) Status(ctx context.Context, job mr.JobID) (mr.Status, error) {
	if err := f.called(ctx, "Status"); err != nil {
		return mr.Status{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	st, ok := f.jobs[job]
	if !ok {
		return st, mr.Errorf(mr.NotFound, "no job %s on record", job)
	}
	return st, nil
}

func (f *fakeJobs) Wait(ctx context.Context, job mr.JobID, since uint64) (mr.Status, error) {
	end := time.After(f.patient)
	for {
		f.mu.Lock()
		st, ok := f.jobs[job]
		changed := f.changed
		f.mu.Unlock()
		if !ok {
			return st, mr.Errorf(mr.NotFound, "no job %s on record", job)
		}
		if st.Version > since || st.State.Done() {
			return st, nil
		}
		select {
		case <-changed:
		case <-end:
			return st, nil
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

func (f *fakeJobs) List(ctx context.Context, all bool) ([]mr.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []mr.Status
	for _, job := range f.order {
		if all || !f.jobs[job].State.Done() {
			out = append(out, f.jobs[job])
		}
	}
	return out, nil
}

func (f *fakeJobs) Kill(ctx context.Context, job mr.JobID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, ok := f.jobs[job]
	if !ok {
		return mr.Errorf(mr.NotFound, "no job %s on record", job)
	}
	st.State, st.Version = mr.Killed, st.Version+1
	f.jobs[job] = st
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

func (f *fakeJobs) Logs(ctx context.Context, job mr.JobID) ([]mr.LogLine, error) {
	return []mr.LogLine{{Time: time.Unix(3, 4), Task: "m-00001.0", Text: string(job)}}, nil
}

func (f *fakeJobs) Explain(ctx context.Context, job, vs mr.JobID) (mr.Explanation, error) {
	return mr.Explanation{Job: job, Vs: vs, Rows: []mr.ExplainRow{{Phase: "map", State: mr.Cached, Reason: "same", Tasks: 3, Examples: []string{"a"}}}}, nil
}

func (f *fakeJobs) DryRun(ctx context.Context, spec mr.Spec) (mr.Explanation, error) {
	return mr.Explanation{Keys: []mr.KeyComponent{{Name: "job", Value: spec.Job, Differs: true}}}, nil
}

func (f *fakeJobs) Lineage(ctx context.Context, output string, part int) (mr.Lineage, error) {
	return mr.Lineage{Output: output, Nodes: []mr.LineageNode{{ID: "r-00000", CPU: float64(part), From: []string{"m-00000"}}}}, nil
}

func (f *fakeJobs) Impact(ctx context.Context, file string) ([]mr.Status, error) {
	return []mr.Status{{Name: file}}, nil
}

func (f *fakeJobs) CacheStats(ctx context.Context) (mr.CacheStats, error) {
	if err := f.called(ctx, "CacheStats"); err != nil {
		return mr.CacheStats{}, err
	}
	return mr.CacheStats{Outputs: 7, SavedSeconds: 1.5}, nil
}

// start serves jobs on a unix socket until the test ends, and returns its address.
func start(t testing.TB, jobs mr.Jobs, o ServerOptions) (*Server, string) {
	t.Helper()
	addr := "unix:" + filepath.Join(t.TempDir(), "s")
	return startAt(t, jobs, o, addr), addr
}

func startAt(t testing.TB, jobs mr.Jobs, o ServerOptions, addr string) *Server {
	t.Helper()
	l, err := ListenAuth(addr, o.Auth)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(jobs, o)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func connect(t testing.TB, addr string, o ClientOptions) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := Dial(ctx, addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func rpcText(err error) rpc.ServerError { return rpc.ServerError(err.Error()) }
