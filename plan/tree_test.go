package plan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

func randomRuns(rng *rand.Rand, n int) []mr.Digest {
	ds := make([]mr.Digest, n)
	for i := range ds {
		ds[i] = randomRun(rng)
	}
	return ds
}

func randomRun(rng *rand.Rand) (d mr.Digest) {
	for i := 0; i < len(d); i += 8 {
		binary.LittleEndian.PutUint64(d[i:], rng.Uint64())
	}
	return d
}

// draw writes a tree down in the order of folding, without nodes of one child.
func draw(seps []uint8, name func(i int) string) string {
	var node func(from, to int) string
	node = func(from, to int) string {
		if to-from == 1 {
			return name(from)
		}
		top := highest(seps[from:to])
		var parts []string
		at := from
		for i := from + 1; i <= to; i++ {
			if i == to || int(seps[i]) == top {
				parts = append(parts, node(at, i))
				at = i
			}
		}
		return "(" + strings.Join(parts, " ") + ")"
	}
	if len(seps) == 0 {
		return ""
	}
	return node(0, len(seps))
}

func numbered(i int) string { return fmt.Sprint(i) }

// groups are the nodes of runs alone.
func groups(ds []mr.Digest) (gs [][]mr.Digest) {
	seps := TreeOf(ds)
	from := 0
	for i := 1; i <= len(ds); i++ {
		if i == len(ds) || seps[i] > 0 {
			gs = append(gs, ds[from:i])
			from = i
		}
	}
	return gs
}

func sameGroup(a, b []mr.Digest) bool { return slices.Equal(a, b) }

func TestTreeGroupsAreBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range 300 {
		ds := randomRuns(rng, n)
		if n%3 == 0 { // many equal runs: nothing, or all, would close
			for i := range ds {
				ds[i] = mr.Digest{byte(n / 3 % 2)}
			}
		}
		gs := groups(ds)
		for i, g := range gs {
			if len(g) > fanMax || len(g) < fanMin && i < len(gs)-1 {
				t.Fatalf("%d runs: group %d of %d has %d", n, i, len(gs), len(g))
			}
		}
		if n > 100 && n%3 != 0 && (len(gs) < n/fanMax || len(gs) > n/fanMin) {
			t.Errorf("%d runs make %d groups", n, len(gs))
		}
	}
}

// Runs behind the others change no node that was closed, on any level.
func TestTreeAppendLeavesWhatWasClosed(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for n := 1; n < 400; n += 7 {
		ds := randomRuns(rng, n)
		before := TreeOf(ds)
		after := TreeOf(append(slices.Clone(ds), randomRuns(rng, 1+rng.IntN(50))...))
		if !bytes.Equal(before, after[:n]) {
			t.Fatalf("%d runs: appending moved\n%v to\n%v", n, before, after[:n])
		}
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		if !bytes.Equal(Restrict(before, all), Restrict(after, all)) {
			t.Fatalf("%d runs: a range without the new ones folds otherwise", n)
		}
	}
}

// A run in the middle, more or other or gone, disturbs few groups.
func TestTreeEditDisturbsItsNeighbourhood(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	const rounds, n = 300, 400
	disturbed := 0
	for round := range rounds {
		ds := randomRuns(rng, n)
		before := groups(ds)
		at := rng.IntN(n)
		switch round % 3 {
		case 0:
			ds = slices.Insert(slices.Clone(ds), at, randomRun(rng))
		case 1:
			ds = slices.Delete(slices.Clone(ds), at, at+1)
		default:
			ds = slices.Clone(ds)
			ds[at] = randomRun(rng)
		}
		after := groups(ds)
		for _, g := range after {
			if !slices.ContainsFunc(before, func(o []mr.Digest) bool { return sameGroup(g, o) }) {
				disturbed++
			}
		}
	}
	if mean := float64(disturbed) / rounds; mean > 4 {
		t.Errorf("an edit disturbs %.1f groups on average", mean)
	}
}

func TestRestrictKeepsTheOrderOfFolding(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for n := 1; n < 300; n += 3 {
		seps := TreeOf(randomRuns(rng, n))
		var some []int
		for i := range n {
			if rng.IntN(3) > 0 {
				some = append(some, i)
			}
		}
		got := Restrict(seps, some)
		raw := make([]uint8, len(some)) // what is left, without lowering
		for k := 1; k < len(some); k++ {
			raw[k] = slices.Max(seps[some[k-1]+1 : some[k]+1])
		}
		if a, b := draw(raw, numbered), draw(got, numbered); a != b {
			t.Fatalf("restricted\n%s to\n%s", a, b)
		}
		for k := range raw {
			raw[k] *= 3 // the same order, at other heights
		}
		all := make([]int, len(raw))
		for i := range all {
			all[i] = i
		}
		if again := Restrict(raw, all); !bytes.Equal(again, got) {
			t.Fatalf("%v and %v fold in one order", again, got)
		}
	}
}

// The inner nodes are those that the drawing shows, but for the root.
func TestInnerNodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	for n := range 300 {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		seps := Restrict(TreeOf(randomRuns(rng, n)), all)
		nodes := InnerNodes(seps)
		text := draw(seps, numbered)
		if want := max(strings.Count(text, "(")-1, 0); len(nodes) != want {
			t.Fatalf("%d nodes of %s", len(nodes), text)
		}
		for i, nd := range nodes {
			name := draw(append([]uint8{0}, seps[nd.From+1:nd.To]...), func(i int) string { return fmt.Sprint(nd.From + i) })
			if !strings.Contains(text, name) || nd.To-nd.From < 2 {
				t.Fatalf("node %v is not in %s", nd, text)
			}
			for _, later := range nodes[i+1:] {
				if later.From >= nd.From && later.To <= nd.To {
					t.Fatalf("node %v comes after %v, which holds it", later, nd)
				}
			}
		}
	}
}

func TestLevelsAreTheHighestSeparationBetween(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 6))
	for n := 2; n < 200; n += 11 {
		seps := TreeOf(randomRuns(rng, n))
		l := LevelsOf(seps)
		if l == nil {
			if slices.Max(seps) > 0 {
				t.Fatalf("no levels of %v", seps)
			}
			continue
		}
		for range 200 {
			i := rng.IntN(n - 1)
			j := i + 1 + rng.IntN(n-1-i)
			if got, want := l.Between(i, j), slices.Max(seps[i+1:j+1]); got != want {
				t.Fatalf("between %d and %d of %v: %d, want %d", i, j, seps, got, want)
			}
		}
	}
}

// Golden: with another shape, sums of floats come out otherwise than those on record.
func TestGoldenTree(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	seps := TreeOf(randomRuns(rng, 80))
	const want = "00000010001002000100010020000100100000300100100200100000100200010000100300001000"
	var got strings.Builder
	for _, s := range seps {
		fmt.Fprint(&got, s)
	}
	if got.String() != want {
		t.Errorf("the tree of 80 runs is\n%s, want\n%s", got.String(), want)
	}
}

func TestKeysHoldTheShape(t *testing.T) {
	runs := [][]mr.Digest{{{1}}, {{2}, {3}}, {{4}}}
	flat := ReduceKey(mr.Digest{}, Range{}, runs, []uint8{0, 0, 0})
	if flat != ReduceKey(mr.Digest{}, Range{}, [][]mr.Digest{{{1}, {2}}, {{3}, {4}}}, nil) {
		t.Error("a fold from the left knows the bounds of its runs")
	}
	keys := map[mr.Digest]string{flat: "flat"}
	for name, k := range map[string]mr.Digest{
		"first":    ReduceKey(mr.Digest{}, Range{}, runs, []uint8{0, 0, 1}),
		"last":     ReduceKey(mr.Digest{}, Range{}, runs, []uint8{0, 1, 0}),
		"bounds":   ReduceKey(mr.Digest{}, Range{}, [][]mr.Digest{{{1}, {2}}, {{3}}, {{4}}}, []uint8{0, 1, 0}),
		"node":     NodeKey(mr.Digest{}, Range{}, runs, []uint8{0, 0, 1}),
		"range":    NodeKey(mr.Digest{}, Range{Lo: []byte("a")}, runs, []uint8{0, 0, 1}),
		"stage":    NodeKey(mr.Digest{9}, Range{}, runs, []uint8{0, 0, 1}),
		"fewer":    NodeKey(mr.Digest{}, Range{}, runs[:2], []uint8{0, 0}),
		"flatnode": NodeKey(mr.Digest{}, Range{}, runs, []uint8{0, 0, 0}),
	} {
		if other, ok := keys[k]; ok {
			t.Errorf("%s and %s share a key", name, other)
		}
		keys[k] = name
	}
	if NodeKey(mr.Digest{}, Range{}, runs, []uint8{0, 0, 1}) != NodeKey(mr.Digest{}, Range{}, runs, []uint8{2, 0, 1}) {
		t.Error("a node's key depends on what is before it")
	}
}

// FuzzTree holds that every tree, and every part of one, folds each run once and in order,
// and is in its least form.
func FuzzTree(f *testing.F) {
	f.Add([]byte("some runs, of which some close nodes"), uint64(5))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, ^uint64(0))
	f.Fuzz(func(t *testing.T, data []byte, choice uint64) {
		ds := make([]mr.Digest, min(len(data), 2000))
		var some []int
		for i := range ds {
			ds[i] = mr.Digest{data[i], data[len(data)-1-i]}
			if choice>>(i%64)&1 == 1 {
				some = append(some, i)
			}
		}
		seps := TreeOf(ds)
		least := Restrict(seps, some)
		var order []int
		draw(least, func(i int) string { order = append(order, i); return "" })
		if len(order) != len(some) || !slices.IsSorted(order) {
			t.Fatalf("%v folds %v of %d runs", least, order, len(some))
		}
		all := make([]int, len(some))
		for i := range all {
			all[i] = i
		}
		if again := Restrict(least, all); !bytes.Equal(again, least) {
			t.Fatalf("%v is not the least form: %v", least, again)
		}
		for _, n := range InnerNodes(least) {
			if n.To-n.From < 2 || n.To-n.From >= len(some) {
				t.Fatalf("%v has a node %v", least, n)
			}
		}
	})
}
