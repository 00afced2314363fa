package worker

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
)

// rounded is a sum whose encoding holds less than it does.
type rounded struct{ sum float64 }

func (r rounded) AppendMR(dst []byte) []byte {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(r.sum)))
}

func (r *rounded) DecodeMR(b []byte) error {
	if len(b) != 4 {
		return fmt.Errorf("%d bytes", len(b))
	}
	r.sum = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	return nil
}

func (r rounded) AppendText(b []byte) ([]byte, error) { return fmt.Append(b, r.sum), nil }

// sumJobs depend on the order of folding in their last bits, and on where it is cut.
func sumJobs() []*mr.Definition {
	return []*mr.Definition{
		mr.Job("sums", mr.Map(func(*mr.Task, string, mr.Emit[string, float64]) error { return nil }),
			mr.Combine(func(a, b float64) float64 { return a + b })),
		mr.Job("rounded", mr.Map(func(*mr.Task, string, mr.Emit[string, rounded]) error { return nil }),
			mr.Combine(func(a, b rounded) rounded { return rounded{a.sum + b.sum} })),
	}
}

// memoryRuns keeps runs in memory.
type memoryRuns struct {
	mu   sync.Mutex
	runs [][][]byte
}

type memoryRun struct {
	m     *memoryRuns
	blobs [][]byte
}

func (m *memoryRuns) Create() RunSink { return &memoryRun{m: m} }

func (m *memoryRuns) Open(id uint64) (RunSource, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memoryRun{blobs: m.runs[id-1]}, nil
}

func (m *memoryRuns) OpenSealed(id uint64) (RunSource, error) { return m.Open(id) }

func (r *memoryRun) WriteBlock(b []byte) error {
	r.blobs = append(r.blobs, slices.Clone(b))
	return nil
}

func (r *memoryRun) Seal(context.Context) (uint64, error) {
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.runs = append(r.m.runs, r.blobs)
	return uint64(len(r.m.runs)), nil
}

func (r *memoryRun) ReadBlock(i int, dst []byte) ([]byte, error) {
	return append(dst[:0], r.blobs[i]...), nil
}
func (r *memoryRun) Blobs() int { return len(r.blobs) }
func (r *memoryRun) Discard()   {}
func (r *memoryRun) Close()     {}

// put writes a run of n keys, most of which other runs have, too.
func (m *memoryRuns) put(t *testing.T, job string, rng *rand.Rand, n int) (id uint64, digest mr.Digest) {
	t.Helper()
	sink := m.Create()
	w := run.NewWriter(sink, run.Options{})
	for i := range n {
		if rng.IntN(5) < 3 {
			continue
		}
		x := rng.NormFloat64() * math.Pow(31, float64(rng.IntN(8)))
		value := binary.LittleEndian.AppendUint64(nil, math.Float64bits(x))
		if job == "rounded" {
			value = rounded{x}.AppendMR(nil)
		}
		if err := w.Record(fmt.Appendf(nil, "key %06d %0200d", i, 0), value); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	id, err = sink.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id, sum.Digest
}

// fold is one reduce attempt over runs.
type fold struct {
	t       *testing.T
	s       *Service
	program plan.Program
	n       int
}

func (f *fold) reduce(w plan.Work) ([]byte, *plan.Result) {
	f.t.Helper()
	f.n++
	w.Kind, w.Program, w.Attempt = plan.Reduce, f.program, plan.Attempt(f.n)
	w.OutputFormat, w.Part = FormatText, filepath.Join(f.t.TempDir(), "part")
	if w.Memory == 0 {
		w.Memory = 1 << 30
	}
	res := &plan.Result{}
	if err := f.s.RunTask(&w, res); err != nil || res.Failure.Kind != plan.NoFailure {
		f.t.Fatalf("%v, %+v", err, res.Failure)
	}
	b, err := os.ReadFile(w.Part)
	if err != nil {
		f.t.Fatal(err)
	}
	return b, res
}

func counterOf(res *plan.Result, name string) int64 {
	for _, c := range res.Counters {
		if c.Group == "mr" && c.Name == name {
			return c.Value
		}
	}
	return -1
}

// However a tree is folded, what comes out is the same to the bit: in one pass, with
// spills, while nodes are kept, and of kept nodes; by a built-in and by a child.
func TestTreesFoldToOneValue(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := newTestChildren(t, ChildOptions{})
	for _, job := range []string{"sums", "rounded"} {
		rng := rand.New(rand.NewPCG(13, uint64(len(job))))
		runs := &memoryRuns{}
		var w plan.Work
		var digests []mr.Digest
		for range 40 {
			id, digest := runs.put(t, job, rng, 2000)
			w.Runs, digests = append(w.Runs, id), append(digests, digest)
		}
		w.Seps = plan.TreeOf(digests)
		s := New(Options{Runs: runs, Binaries: c, TempDir: t.TempDir(), Builtin: func(name string) (*mr.Definition, bool) {
			for _, d := range sumJobs() {
				if d.Name() == name {
					return d, true
				}
			}
			return nil, false
		}})
		inProcess := &fold{t: t, s: s, program: plan.Program{Job: job}}
		inChild := &fold{t: t, s: s, program: plan.Program{Job: job, Code: mr.Code{Kind: mr.Binary, Path: exe, Digest: ownDigest()}}, n: 1000}
		want, plain := inProcess.reduce(w)
		flat := w
		flat.Seps = nil
		if b, _ := inProcess.reduce(flat); string(b) == string(want) {
			t.Errorf("%s: a fold from the left comes to the same: the test is none", job)
		}
		for name, f := range map[string]*fold{"in process": inProcess, "in a child": inChild} {
			f.checkTree(job+" "+name, w, want, plain)
		}
	}
}

func (f *fold) checkTree(name string, w plan.Work, want []byte, plain *plan.Result) {
	same := func(how string, b []byte, res *plan.Result) {
		f.t.Helper()
		if string(b) != string(want) {
			f.t.Errorf("%s, %s: other bytes", name, how)
		}
		if got, want := counterOf(res, "reduce_input_records"), counterOf(plain, "reduce_input_records"); got != want || got <= 0 {
			f.t.Errorf("%s, %s: %d records are counted of %d", name, how, got, want)
		}
	}
	b, res := f.reduce(w)
	same("in one pass", b, res)
	narrow := w
	narrow.Memory = 1
	b, res = f.reduce(narrow)
	same("with spills", b, res)
	keep := narrow
	inner := plan.InnerNodes(w.Seps)
	for i, n := range inner {
		keep.Nodes = append(keep.Nodes, plan.NodeOrder{Key: mr.Digest{byte(i)}, From: n.From, To: n.To})
	}
	b, res = f.reduce(keep)
	same("while keeping", b, res)
	if len(res.Nodes) != len(inner) || len(inner) < 5 {
		f.t.Fatalf("%s: %d nodes of %d were kept", name, len(res.Nodes), len(inner))
	}
	for i, n := range inner { // each node alone in the place of its runs
		use := w
		use.Runs, use.At, use.Leaves = nil, nil, nil
		for at, id := range w.Runs {
			switch {
			case at < n.From || at >= n.To:
				use.Runs, use.At, use.Leaves = append(use.Runs, id), append(use.At, at), append(use.Leaves, 0)
			case at == n.From:
				use.Runs, use.At, use.Leaves = append(use.Runs, res.Nodes[i].Made.Run), append(use.At, at), append(use.Leaves, res.Nodes[i].Leaves)
			}
		}
		b, got := f.reduce(use)
		same(fmt.Sprint("of node ", n), b, got)
	}
}

// A node that does not shrink what is folded is not kept, and costs no more than a look.
func TestDullNodesAreNotKept(t *testing.T) {
	runs := &memoryRuns{}
	var w plan.Work
	for r := range 8 {
		sink := runs.Create()
		rw := run.NewWriter(sink, run.Options{})
		for i := range 5000 { // keys of their own
			if err := rw.Record(fmt.Appendf(nil, "%08d", i*8+r), make([]byte, 8)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := rw.Close(); err != nil {
			t.Fatal(err)
		}
		id, err := sink.Seal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Runs = append(w.Runs, id)
	}
	w.Seps = []byte{0, 0, 0, 0, 1, 0, 0, 0}
	s := New(Options{Runs: runs, TempDir: t.TempDir(), Builtin: func(string) (*mr.Definition, bool) { return sumJobs()[0], true }})
	f := &fold{t: t, s: s, program: plan.Program{Job: "sums"}}
	want, _ := f.reduce(w)
	w.Nodes = []plan.NodeOrder{{Key: mr.Digest{1}, From: 0, To: 4}, {Key: mr.Digest{2}, From: 4, To: 8}}
	got, res := f.reduce(w)
	if string(got) != string(want) || len(res.Nodes) > 0 {
		t.Errorf("%d nodes were kept", len(res.Nodes))
	}
	if len(runs.runs) != 8 {
		t.Errorf("%d runs of 8 were sealed", len(runs.runs))
	}
}

// A node that is seen not to be worth keeping leaves nothing that goes on reading its runs.
func TestDullNodesReadNoMore(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	runs := &memoryRuns{}
	s := New(Options{Runs: runs, TempDir: t.TempDir()})
	var digests []mr.Digest
	w := plan.Work{Memory: 1 << 30}
	for i := range 40 {
		sink := runs.Create()
		rw := run.NewWriter(sink, run.Options{})
		for k := range 3000 { // no key twice
			if err := rw.Record(fmt.Appendf(nil, "key %06d %06d %0100d", k, i, 0), binary.LittleEndian.AppendUint64(nil, rng.Uint64()>>12)); err != nil {
				t.Fatal(err)
			}
		}
		sum, err := rw.Close()
		if err != nil {
			t.Fatal(err)
		}
		id, err := sink.Seal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.Runs, digests = append(w.Runs, id), append(digests, sum.Digest)
	}
	w.Seps = plan.TreeOf(digests)
	for i, n := range plan.InnerNodes(w.Seps) {
		w.Nodes = append(w.Nodes, plan.NodeOrder{Key: mr.Digest{byte(i)}, From: n.From, To: n.To})
	}
	m, err := s.openRuns(&w, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	p, err := sumJobs()[0].Configure(nil)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := s.keepNodes(&attempt{work: &w, ctx: t.Context()}, m, p)
	if err != nil || len(w.Nodes) < 5 || len(kept.made) > 0 {
		t.Fatalf("of %d nodes %d were kept, %v", len(w.Nodes), len(kept.made), err)
	}
	if len(m.aheads) > 0 {
		t.Errorf("%d go on reading", len(m.aheads))
	}
}
