package rpcsvc

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestHTTPCallsOutliveTheirRequest has a call over HTTP that takes longer than its request and its answer may be
// on their way together: the one is over, and the other has not begun.
func TestHTTPCallsOutliveTheirRequest(t *testing.T) {
	jobs := newFakeJobs()
	jobs.patient = 500 * time.Millisecond
	_, addr := start(t, jobs, ServerOptions{RequestTime: 100 * time.Millisecond, WriteTime: 100 * time.Millisecond})
	job, err := jobs.Submit(t.Context(), "a", mr.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", addr[5:]) }}}
	defer hc.CloseIdleConnections()
	for range 2 { // the second on the same connection
		status, reply := post(t, hc, "http://mr/rpc", "", `{"method":"Jobs.Wait","params":{"job":"`+string(job)+`","since":1}}`)
		if status != 200 {
			t.Errorf("the long poll: %d, %+v", status, reply)
		}
	}
}

// TestEmptyListsAreLists: who asks in JSON for the jobs gets a list of them, also where there is none.
func TestEmptyListsAreLists(t *testing.T) {
	jobs := newFakeJobs()
	_, addr := start(t, jobs, ServerOptions{})
	hc := httpOver(addr)
	defer hc.CloseIdleConnections()
	_, none := post(t, hc, "http://mr/rpc", "", `{"method":"Jobs.List","params":{}}`)
	if list, ok := none.Result["jobs"].([]any); !ok || len(list) != 0 {
		t.Errorf("no jobs: %v", none.Result)
	}
	if _, err := jobs.Submit(t.Context(), "a", mr.Spec{}); err != nil {
		t.Fatal(err)
	}
	_, one := post(t, hc, "http://mr/rpc", "", `{"method":"Jobs.List","params":{}}`)
	list, ok := one.Result["jobs"].([]any)
	if !ok || len(list) != 1 {
		t.Fatalf("a job: %v", one.Result)
	}
	if warnings, ok := list[0].(map[string]any)["warnings"].([]any); !ok || len(warnings) != 0 {
		t.Errorf("a job without warnings: %v", list[0])
	}
}
