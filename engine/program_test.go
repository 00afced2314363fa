package engine

import (
	"slices"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// Tasks get the parameters that are in their keys: in their process a flag that was not given may have
// another default.
func TestTasksGetTheirParameters(t *testing.T) {
	r := record{
		Spec: mr.Spec{Args: []string{"word"}},
		Traits: mr.Traits{Params: []mr.Param{
			{Name: "--day", Value: "2024-02-29"}, {Name: "--n", Value: "3", ReduceOnly: true}, {Name: "arg0", Value: "word"},
		}},
	}
	for k, want := range map[plan.Kind][]string{
		plan.Map: {"--day=2024-02-29", "--", "word"}, plan.Reduce: {"--day=2024-02-29", "--n=3", "--", "word"},
	} {
		if got := r.program(k).Args; !slices.Equal(got, want) {
			t.Errorf("kind %d: %q, want %q", k, got, want)
		}
	}
}
