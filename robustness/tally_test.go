package robustness

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tally counts what the rounds of a test have done.
type tally struct {
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func newTally() *tally { return &tally{n: map[string]int{}} }

func (a *tally) add(what string) { a.plus(what, 1) }

func (a *tally) plus(what string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n[what] += n
}

func (a *tally) of(what string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n[what]
}

func (a *tally) print(t *testing.T) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(a.n)) {
		fmt.Fprintf(&b, "%7d  %s\n", a.n[what], what)
	}
	if long() { // without -v, which would print every round
		fmt.Printf("%s: what was done:\n%s", t.Name(), b.String())
		return
	}
	t.Logf("what was done:\n%s", b.String())
}
