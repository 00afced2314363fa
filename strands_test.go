package mr_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mrd-io/mr"
)

// cores lends out up to n at a time, and may say no at any time.
type cores struct {
	mu    sync.Mutex
	free  int
	moody bool
	lent  int
	rng   *rand.Rand
}

func (c *cores) spare() (func(), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.free == 0 || c.moody && c.rng.IntN(2) == 0 {
		return nil, false
	}
	c.free--
	c.lent++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.free++
	}), true
}

// tally counts words, and the records that it sees.
func tally(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
	t.Count("own", "records", 1)
	for w := range strings.FieldsSeq(line) {
		emit(w, int64(len(line)))
		switch w {
		case "bad":
			return errors.New("no good: " + line)
		case "boom":
			panic("boom: " + line)
		}
	}
	return nil
}

func tallyBlock(t *mr.Task, block []byte, emit mr.Emit[[]byte, int64]) error {
	for _, line := range mr.Records(t.Format(), block) {
		if err := tally(t, string(line), func(w string, n int64) { emit([]byte(w), n) }); err != nil {
			return err
		}
	}
	return nil
}

// wiped hands out another reader's blocks in one buffer, as readers may.
type wiped struct {
	mr.BlockReader
	buf []byte
}

func (w *wiped) Next() (mr.Block, error) {
	clear(w.buf)
	b, err := w.BlockReader.Next()
	w.buf = append(w.buf[:0], b.Data...)
	b.Data = w.buf
	return b, err
}

func someText(rng *rand.Rand, lines int) string {
	var b strings.Builder
	for range lines {
		for range rng.IntN(8) {
			fmt.Fprintf(&b, "w%d ", min(rng.IntN(500), rng.IntN(500)))
		}
		if rng.IntN(20) == 0 {
			b.WriteString(strings.Repeat("long", 1+rng.IntN(9)))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func withCores(t *testing.T, n int) {
	before := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// mapWith maps text, and tells how often a core was lent. All must have been given back.
func mapWith(t *testing.T, p *mr.Program, text string, c *cores) ([]pair, mr.Counters, error) {
	t.Helper()
	env := mr.TaskEnv{SpillDir: t.TempDir(), Memory: 1 << 20}
	free := 0
	if c != nil {
		env.Spare, free = c.spare, c.free
	}
	out := &sink{}
	cs, err := p.Map(t.Context(), env, &wiped{BlockReader: &blocks{path: "in.txt", data: []byte(text), size: 256}}, out)
	if c != nil && c.free != free {
		t.Errorf("%d of %d cores were not given back", free-c.free, free)
	}
	return out.recs, cs, err
}

var tallies = map[string]mr.Option{"records": mr.Map(tally), "blocks": mr.MapBlock(tallyBlock)}

func TestStrandsChangeNothing(t *testing.T) {
	withCores(t, 4)
	for name, mapper := range tallies {
		p := configure(t, mr.Job("j", mapper, mr.Combine(mr.Sum[int64])))
		for seed := range uint64(12) {
			rng := rand.New(rand.NewPCG(seed, 1))
			text := someText(rng, rng.IntN(3000))
			want, wantCounters, err := mapWith(t, p, text, nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &cores{free: 1 + int(seed%5), moody: seed%2 == 0, rng: rng}
			got, counters, err := mapWith(t, p, text, c)
			if err != nil || !slices.Equal(got, want) || !slices.Equal(counters, wantCounters) {
				t.Errorf("%s, seed %d: %d records and %v, %v; without strands %d and %v", name, seed, len(got), counters, err, len(want), wantCounters)
			}
			if len(text) > 1<<12 && c.lent == 0 {
				t.Errorf("%s, seed %d: no strand began", name, seed)
			}
		}
	}
}

func TestStrandsFailWithTheFirstError(t *testing.T) {
	withCores(t, 4)
	for name, mapper := range tallies {
		p := configure(t, mr.Job("j", mapper, mr.Combine(mr.Sum[int64])))
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 2))
			lines := strings.SplitAfter(someText(rng, 300), "\n")
			for range 1 + rng.IntN(5) {
				lines[rng.IntN(len(lines))] = fmt.Sprintf("bad line %d\n", rng.IntN(1000))
			}
			text := strings.Join(lines, "")
			_, _, want := mapWith(t, p, text, nil)
			_, _, err := mapWith(t, p, text, &cores{free: 3, moody: true, rng: rng})
			if err == nil || err.Error() != want.Error() {
				t.Errorf("%s, seed %d: %v; without strands %v", name, seed, err, want)
			}
		}
		_, _, err := mapWith(t, p, strings.Repeat("a b c\n", 1000)+"boom\n"+strings.Repeat("a b c\n", 1000), &cores{free: 3})
		if err == nil || !strings.Contains(err.Error(), "panic: boom") {
			t.Errorf("%s: a panic ended as %v", name, err)
		}
	}
}

// Where order matters, or a mapper sees the whole split, nothing runs side by side.
func TestStrandsAreForSumsOnly(t *testing.T) {
	withCores(t, 4)
	add := mr.Combine(func(a, b int64) int64 { return a + b })
	single := mr.MapFrom(func(t *mr.Task) (mr.Mapper[string, string, int64], error) { return picker{t}, nil })
	for name, d := range map[string]*mr.Definition{
		"combiner of one's own": mr.Job("j", mr.Map(tally), add),
		"mapper with state":     mr.Job("j", single, mr.Combine(mr.Sum[int64])),
		"no combiner":           mr.Job("j", mr.Map(tally), mr.Pass[string, int64]()),
		"sum of floats": mr.Job("j", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, float64]) error {
			emit(line, 0.1)
			return nil
		}), mr.Combine(mr.Sum[float64])),
	} {
		c := &cores{free: 3}
		if _, _, err := mapWith(t, configure(t, d), strings.Repeat("a b c\n", 500), c); err != nil || c.lent > 0 {
			t.Errorf("%s: %d cores were asked for; %v", name, c.lent, err)
		}
	}
}

// A block with a huge record is not copied: copies are beyond the task's memory.
func TestStrandsLeaveHugeRecords(t *testing.T) {
	withCores(t, 4)
	c := &cores{free: 3}
	p := configure(t, mr.Job("j", mr.MapBlock(tallyBlock), mr.Combine(mr.Sum[int64])))
	if _, _, err := mapWith(t, p, strings.Repeat("x", 5<<20)+"\n"+strings.Repeat("y", 5<<20)+"\n", c); err != nil || c.lent > 0 {
		t.Errorf("%d cores were asked for; %v", c.lent, err)
	}
}
