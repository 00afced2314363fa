package worker

import (
	"strings"
	"testing"
)

// An error says why a program died, and not only what stands at the end of its stacks.
func TestWhyAChildDiedIsShown(t *testing.T) {
	before, stacks := strings.Repeat("a word of the author's\n", 1000), strings.Repeat("goroutine 1 [running]:\n", 1000)
	for _, c := range []struct{ printed, first string }{
		{"panic: odd\n\n" + stacks, "panic: odd\n"},
		{before + "runtime: goroutine stack exceeds a limit\nfatal error: stack overflow\n\n" + stacks, "fatal error: stack overflow\n"},
		{"panic: an earlier one\n" + before + "panic: odd\n\n" + stacks, "panic: odd\n"},
		{"first\npanic: odd\n", "first\n"},
		{before + "no panic: odd\n" + stacks, stacks[len(stacks)-shownSize:]},
		{"", ""},
	} {
		o := &output{limit: 1 << 10, ended: make(chan struct{})}
		o.add([]byte(c.printed))
		if got := o.last(); !strings.HasPrefix(got, c.first) || len(got) > shownSize {
			t.Errorf("%.40q…: shown are %d bytes, %.60q…", c.printed, len(got), got)
		}
	}
}
