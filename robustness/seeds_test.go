package robustness

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// seed is one round: what it does is drawn from n; index cycles through what every so
// many rounds must have been done once.
type seed struct {
	n     uint64
	index int
}

// seeds returns the rounds of a test: few in go test, MR_CRASH_ROUNDS in make crash, one
// with MR_CRASH_SEED.
func seeds(t *testing.T, short int) (list []seed) {
	t.Helper()
	number := func(name string) (uint64, bool) {
		s := os.Getenv(name)
		if s == "" {
			return 0, false
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("%s=%s: %v", name, s, err)
		}
		return n, true
	}
	if n, ok := number("MR_CRASH_SEED"); ok {
		return []seed{{n, int(n % cycle)}}
	}
	base, rounds := uint64(cycle), uint64(short)
	if n, ok := number("MR_CRASH_ROUNDS"); ok {
		base, rounds = uint64(time.Now().Unix())*cycle, n
	}
	for i := range rounds {
		list = append(list, seed{base + i, int((base + i) % cycle)})
	}
	return list
}

// cycle makes a seed tell its index, so that it replays alone.
const cycle = 1000

// long says whether this is make crash and not go test.
func long() bool { return os.Getenv("MR_CRASH_ROUNDS") != "" || os.Getenv("MR_CRASH_SEED") != "" }
