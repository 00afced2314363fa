package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// A client may leave at any moment of its submission. The job is on record then or it is not, and
// one that is on record is run.
func TestClientsThatLeave(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, []byte("a b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := openNode(t, filepath.Join(dir, "store"))
	defer n.Close(t.Context()) //nolint:errcheck // the test is over
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			ctx, leave := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
			defer leave()
			spec := mr.Spec{Job: "wordcount", Inputs: []string{in}, Output: filepath.Join(dir, fmt.Sprint("o", i))}
			n.Jobs().Submit(ctx, mr.SubmitID(fmt.Sprint("sub", i)), spec) //nolint:errcheck // the client has left
		})
	}
	wg.Wait()
	jobs, err := n.Jobs().List(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, s := range jobs {
		for id := s.Job; !s.State.Done(); {
			if s, err = n.Jobs().Wait(ctx, id, s.Version); err != nil {
				t.Fatalf("%d jobs are on record, and one of them never ends: %v", len(jobs), err)
			}
		}
	}
}
