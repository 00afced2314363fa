package worker

import (
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// TestChildSaysALot: an error of many megabytes, as of a mapper that quotes a huge record, is still the
// job's error, and so are counters without end.
func TestChildSaysALot(t *testing.T) {
	r := open(t, newTestChildren(t, ChildOptions{}), "count")
	for word, want := range map[string]string{"verbose": "no good: xxx", "tally": "counters"} {
		_, err := r.Reduce(t.Context(), mr.TaskEnv{}, &records{all: []keyValue{{word, "\x02"}}}, &records{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "protocol") || len(err.Error()) > 1<<20 {
			text := "nothing"
			if err != nil {
				text = err.Error()
			}
			t.Errorf("%s: %d bytes, %.300s", word, len(text), text)
		}
	}
}
