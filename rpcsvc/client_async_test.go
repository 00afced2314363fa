package rpcsvc

import (
	"fmt"
	"testing"

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
