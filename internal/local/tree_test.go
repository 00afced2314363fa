package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
)

// someWords writes n lines of words.
func someWords(t *testing.T, path string, seed uint64, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 2))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		fmt.Fprintf(f, "w%04d w%04d w%02d\n", rng.IntN(8000), rng.IntN(8000), rng.IntN(20)) //nolint:errcheck // Close tells
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// keptNodes are the nodes whose bytes are in the store.
func keptNodes(t *testing.T, n *Node) (nodes []*lineage.Output) {
	t.Helper()
	err := n.Store().View(func(tx *store.Tx) error {
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			if o.Kind == plan.Merge && o.Made.Run != 0 {
				nodes = append(nodes, o)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return nodes
}

// grownLog is a job whose input grows between its runs.
type grownLog struct {
	t    *testing.T
	n    *Node
	dir  string
	runs int
}

func (g *grownLog) spec(out string) mr.Spec {
	return mr.Spec{Job: "wordcount", Inputs: []string{filepath.Join(g.dir, "in")}, SplitSize: 64 << 10, Output: filepath.Join(g.dir, out), Incremental: true}
}

// run runs the job, and compares its output with that of a job that uses nothing.
func (g *grownLog) run() mr.Status {
	g.t.Helper()
	g.runs++
	spec := g.spec(fmt.Sprint("out", g.runs))
	s := runJob(g.t, g.n, spec)
	fresh := g.spec(fmt.Sprint("fresh", g.runs))
	fresh.NoCache = true
	f := runJob(g.t, g.n, fresh)
	if s.State != mr.Succeeded || f.State != mr.Succeeded {
		g.t.Fatalf("%s %s, %s %s", s.State, s.Error, f.State, f.Error)
	}
	if output(g.t, spec.Output) != output(g.t, fresh.Output) {
		g.t.Error("wrong output")
	}
	return s
}

func newGrownLog(t *testing.T) *grownLog {
	g := &grownLog{t: t, dir: t.TempDir()}
	g.n = openBounded(t, filepath.Join(g.dir, "store"), 1<<30)
	someWords(t, filepath.Join(g.dir, "in"), 1, 80_000)
	return g
}

func (g *grownLog) close() {
	if err := g.n.Close(g.t.Context()); err != nil {
		g.t.Error(err)
	}
	check(g.t, filepath.Join(g.dir, "store"))
}

// A node that can't be read, or is gone, costs time and nothing else: its runs are folded,
// and the node is made again.
func TestLostNodesAreDoneWithout(t *testing.T) {
	g := newGrownLog(t)
	defer g.close()
	if s := g.run(); s.Merge.Run == 0 {
		t.Fatalf("no node was kept: %+v", s.Merge)
	}
	remove := func(tx *store.Tx, o *lineage.Output) error {
		err := tx.DeleteRun(store.RunID(o.Made.Run))
		if errors.Is(err, store.ErrNoRun) {
			return nil // deleted before, and no job has come across it
		}
		return err
	}
	for name, lose := range map[string]func(tx *store.Tx, o *lineage.Output, bad store.RunID) error{
		"damaged": func(tx *store.Tx, o *lineage.Output, bad store.RunID) error {
			err := remove(tx, o)
			o.Made.Run = uint64(bad)
			if err == nil {
				err = tx.CommitRun(bad)
			}
			if err == nil {
				err = lineage.PutOutput(tx, o)
			}
			return err
		},
		"deleted": func(tx *store.Tx, o *lineage.Output, _ store.RunID) error {
			return remove(tx, o)
		},
	} {
		nodes := keptNodes(t, g.n)
		lost := map[mr.Digest]uint64{}
		for _, o := range nodes {
			w := g.n.Store().CreateRun()
			if err := w.WriteBlock([]byte(strings.Repeat("no run at all ", 100))); err != nil {
				t.Fatal(err)
			}
			bad, err := w.Seal(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := g.n.Store().Update(func(tx *store.Tx) error { return lose(tx, o, bad) }); err != nil {
				t.Fatal(err)
			}
			w.Discard()
			lost[o.Key] = uint64(bad)
		}
		someWords(t, filepath.Join(g.dir, "in"), 7, 100)
		s := g.run()
		if s.Merge.Cached != 0 || s.Merge.Run == 0 {
			t.Errorf("%s: %+v", name, s.Merge)
		}
		if s.Map.Recomputed+s.Map.Failed+s.Reduce.Failed > 0 {
			t.Errorf("%s: maps %+v, reduces %+v", name, s.Map, s.Reduce)
		}
		again := 0
		for _, o := range keptNodes(t, g.n) {
			if bad, was := lost[o.Key]; was && o.Made.Run != bad {
				again++
			}
		}
		if again == 0 {
			t.Errorf("%s: no node was made again", name)
		}
		someWords(t, filepath.Join(g.dir, "in"), 8, 100)
		if s := g.run(); s.Merge.Cached == 0 {
			t.Errorf("%s: the nodes made again were not read: %+v", name, s.Merge)
		}
	}
}

// Nodes go before anything else when room is needed; who runs next does without.
func TestNodesAreEvictedFirst(t *testing.T) {
	g := newGrownLog(t)
	defer g.close()
	g.run()
	if len(keptNodes(t, g.n)) == 0 {
		t.Fatal("no node was kept")
	}
	cache := g.n.Jobs().(mr.Cache)
	// A bound just below what is there: little has to go.
	freed, err := cache.CacheGC(t.Context(), mr.CacheGC{Limit: g.n.Store().DiskBytes() - 1})
	if err != nil || freed.Outputs == 0 {
		t.Fatalf("%+v, %v", freed, err)
	}
	var others, gone int
	err = g.n.Store().View(func(tx *store.Tx) error {
		return lineage.ScanOutputs(tx, func(o *lineage.Output) error {
			if o.Gone == lineage.Evicted && o.Kind == plan.Merge {
				gone++
			} else if o.Gone == lineage.Evicted {
				others++
			}
			return nil
		})
	})
	if left := len(keptNodes(t, g.n)); err != nil || gone == 0 || others > 0 && left > 0 {
		t.Errorf("%d nodes and %d other outputs went, and %d nodes are left; %v", gone, others, left, err)
	}
	someWords(t, filepath.Join(g.dir, "in"), 9, 100)
	g.run()
}

// What was folded of kept nodes says so in its lineage, down to the maps.
func TestLineageShowsNodes(t *testing.T) {
	g := newGrownLog(t)
	defer g.close()
	g.run()
	someWords(t, filepath.Join(g.dir, "in"), 3, 100)
	s := g.run()
	if s.Merge.Cached == 0 {
		t.Fatalf("%+v", s.Merge)
	}
	l, err := g.n.Jobs().Lineage(t.Context(), s.Output, -1)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, n := range l.Nodes {
		at[n.ID] = i
	}
	merges, read := 0, map[string]int{}
	for i, n := range l.Nodes {
		seen := map[string]bool{}
		for _, id := range n.From {
			below, known := at[id]
			if !known || below <= i || seen[id] {
				t.Errorf("%s comes from %s, which is not below it, or twice", n.ID, id)
			}
			seen[id] = true
		}
		if n.Kind == "merge" {
			merges++
			if n.State == mr.Cached && n.Job == s.Job || n.State == mr.Succeeded && n.Job != s.Job || n.CPU == 0 || len(n.From) < 2 {
				t.Errorf("%+v", n)
			}
		}
		if n.Kind != "reduce" {
			continue
		}
		var maps []string // each once, in order, whatever is between
		var walk func(id string)
		walk = func(id string) {
			if node := l.Nodes[at[id]]; node.Kind == "map" {
				maps = append(maps, id)
			} else {
				for _, from := range node.From {
					walk(from)
				}
			}
		}
		walk(n.ID)
		if !slices.IsSorted(maps) || len(slices.Compact(slices.Clone(maps))) != len(maps) {
			t.Errorf("%s folds %v", n.ID, maps)
		}
		read[n.ID] = len(maps)
	}
	if merges < s.Merge.Cached {
		t.Errorf("%d nodes are drawn, and %d were read", merges, s.Merge.Cached)
	}
	for id, maps := range read {
		if maps != s.Map.Tasks {
			t.Errorf("%s comes from %d maps of %d", id, maps, s.Map.Tasks)
		}
	}
}
