package engine

import (
	"testing"

	"github.com/mrd-io/mr/plan"
)

// A parameter that is given several times is compared with its like, and what differs is named.
func TestFirstDifference(t *testing.T) {
	stage := func(words ...string) (cs []plan.Component) {
		for i := 0; i < len(words); i += 2 {
			cs = append(cs, plan.Component{Name: words[i], Value: words[i+1]})
		}
		return cs
	}
	before := stage("code", "c", "--f", "a", "--f", "b", "--g", "x", "env E", "1")
	for _, c := range []struct {
		now  []plan.Component
		want string
	}{
		{stage("code", "c", "--f", "a", "--f", "b", "--g", "x", "env E", "2"), "env E: 1 → 2"},
		{stage("code", "c", "--f", "a", "--f", "c", "--g", "x", "env E", "1"), "--f: b → c"},
		{stage("code", "c", "--f", "a", "--g", "x", "env E", "1"), `--f: b → ""`},
		{stage("code", "c", "--f", "a", "--f", "b", "--f", "c", "--g", "x", "env E", "1"), `--f: "" → c`},
		{stage("code", "c", "--f", "a", "--g", "x", "--f", "b", "env E", "1"), "the order changed: --g stands where --f stood"},
	} {
		if got := firstDifference(c.now, before); got != c.want {
			t.Errorf("%v: %q, want %q", c.now, got, c.want)
		}
		differ := 0
		for _, k := range compare(c.now, before) {
			if k.Differs {
				differ++
			}
		}
		if differ > 1 {
			t.Errorf("%v: %d components differ", c.now, differ)
		}
	}
}
