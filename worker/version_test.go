package worker

import (
	"errors"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// The keys of a built-in's outputs name its version: a job that was planned for another one is not
// executed with this.
func TestBuiltinOfAnotherVersionIsNotRun(t *testing.T) {
	def := mr.Job("words", mr.Version("2"), mr.Map(func(*mr.Task, string, mr.Emit[string, int64]) error { return nil }), mr.Combine(mr.Sum[int64]))
	s := New(Options{Builtin: func(string) (*mr.Definition, bool) { return def, true }})
	for version, runs := range map[string]bool{"": true, "1": false, "2": true} {
		for range 2 { // anew, and once more
			r, err := s.runner(t.Context(), &plan.Program{Job: "words", Version: version})
			if runs != (err == nil && r != nil) {
				t.Errorf("planned for version %q: %v", version, err)
			}
			if tf, ok := errors.AsType[*taskFailure](err); !runs && (!ok || tf.kind != plan.BadInput || !strings.Contains(err.Error(), "version 1")) {
				t.Errorf("planned for version %q: %v", version, err)
			}
		}
	}
}
