package failpoint

import "testing"

// TestFreeInRelease holds that a place costs nothing where failpoints are off.
func TestFreeInRelease(t *testing.T) {
	if Enabled {
		return // the other build's promise
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := Hit("a/place"); err != nil {
			t.Error(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations at each place", n)
	}
}
