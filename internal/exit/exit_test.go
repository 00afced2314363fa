package exit

import (
	"context"
	"errors"
	"fmt"
	"testing"

	mr "github.com/mrd-io/mr"
)

func TestStatus(t *testing.T) {
	for kind, want := range map[mr.Kind]int{
		mr.Failed: 1, mr.Usage: 2, mr.NotFound: 2, mr.Unreachable: 3, mr.Damaged: 4, mr.Refused: 5, mr.Interrupted: 130, 200: 1,
	} {
		if got := Status(fmt.Errorf("wrapped: %w", mr.Errorf(kind, "x"))); got != want {
			t.Errorf("kind %d: %d, want %d", kind, got, want)
		}
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errors.New("x"), 1}, {context.Canceled, 130}, {fmt.Errorf("while waiting: %w", context.Canceled), 130},
		{mr.Errorf(mr.Unreachable, "the daemon: %w", context.Canceled), 3},
	} {
		if got := Status(c.err); got != c.want {
			t.Errorf("%v: %d, want %d", c.err, got, c.want)
		}
	}
}
