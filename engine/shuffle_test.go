package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/lineage"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/run"
	"github.com/mrd-io/mr/store"
)

// What the reduce tasks of a job are said to read comes to what is shuffled, however few
// blocks of a run there are in a range: parts would be kept that are as large as their input.
func TestRangesComeToTheShuffle(t *testing.T) {
	const runCount, blocksEach, raw = 200, 5, 64 << 10
	var blocks [][]block
	var ws []plan.Weight
	for i := range runCount {
		var bs []block
		for k := range blocksEach {
			key := func(at int) []byte { return fmt.Appendf(nil, "%06d", at*1000+i*1000/runCount) }
			bs = append(bs, block{first: key(k), last: key(k + 1), raw: raw})
			ws = append(ws, plan.Weight{Key: key(k), Last: key(k + 1), Bytes: raw})
		}
		blocks = append(blocks, bs)
	}
	identity := func(key []byte) []byte { return key }
	for _, n := range []int{1, 3, 40} {
		var sum int64
		for _, r := range plan.Cut(ws, n, identity, nil) {
			var size int64
			for _, bs := range blocks {
				_, in := inRange(bs, r)
				size += in
			}
			sum += size
			if mean := int64(runCount * blocksEach * raw / n); size > 2*mean {
				t.Errorf("%d ranges: one of %d bytes, where the mean is %d", n, size, mean)
			}
		}
		if sum != runCount*blocksEach*raw {
			t.Errorf("%d ranges come to %d bytes, and the runs to %d", n, sum, runCount*blocksEach*raw)
		}
	}
}

// Stores hold parts and nodes that lack the records of such blocks; a key on their digests
// would find them.
func TestBlocksOfEmptyRecordsHaveOtherKeys(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	for key, same := range map[string]bool{"": false, "k": true} {
		sink := s.CreateRun()
		w := run.NewWriter(sink, run.Options{})
		if err := w.Record([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		id, err := sink.Seal(t.Context())
		if err == nil {
			err = s.Update(func(tx *store.Tx) error { return tx.CommitRun(id) })
		}
		if err != nil {
			t.Fatal(err)
		}
		src, err := s.OpenRun(id)
		if err != nil {
			t.Fatal(err)
		}
		ix, err := run.ReadIndex(src, src.Blobs())
		src.Close()
		if err != nil {
			t.Fatal(err)
		}
		bs, _, err := blocksOf(s, uint64(id))
		if err != nil || len(bs) != 1 || (bs[0].digest == ix.Blocks[0].Digest) != same {
			t.Errorf("key %q: %+v, %v; the block's own digest is %v", key, bs, err, ix.Blocks[0].Digest)
		}
	}
}

// A kept part that is lost is forgotten, and one that another job has made again meanwhile is not.
func TestPartsMadeAgainAreNotForgotten(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	var ids [2]store.RunID
	for i := range ids {
		w := s.CreateRun()
		if ids[i], err = w.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lost, again := uint64(ids[0]), uint64(ids[1])
	for onRecord, want := range map[uint64]uint64{lost: 0, again: again} {
		key := mr.Digest{byte(onRecord)}
		err := s.Update(func(tx *store.Tx) error {
			o := &lineage.Output{Key: key, Kind: plan.Reduce, Job: "other", Made: plan.Made{Run: onRecord}}
			return errors.Join(tx.CommitRun(store.RunID(onRecord)), lineage.PutOutput(tx, o))
		})
		if err != nil {
			t.Fatal(err)
		}
		l := &New(Options{Store: s}).loop
		j := &job{rec: record{ID: "job"}, reduces: []taskInfo{{Task: lineage.Task{Key: key}, keep: lost}}}
		l.adopt(j)
		l.dropKept(taskID{"job", plan.Reduce, 0})
		l.e.background.Wait()
		if out := l.output(key); out.Made.Run != want || j.reduces[0].keep != 0 {
			t.Errorf("run %d, where %d is lost: %d is on record, want %d", onRecord, lost, out.Made.Run, want)
		}
	}
}

// The blocks of a run that a range reads are found among those in the order of their keys, wherever it begins
// and ends.
func TestInRange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	key := func() []byte {
		return []byte(strings.Repeat("k", rng.IntN(3)) + string([]byte{byte('a' + rng.IntN(9))}))[rng.IntN(2):]
	}
	for range 20_000 {
		var blocks []block
		for range rng.IntN(9) {
			blocks = append(blocks, block{first: key(), raw: int64(rng.IntN(100)), digest: mr.Digest{byte(len(blocks))}})
		}
		slices.SortFunc(blocks, func(a, b block) int { return bytes.Compare(a.first, b.first) })
		for i := range blocks {
			if blocks[i].last = []byte("z"); i+1 < len(blocks) {
				blocks[i].last = blocks[i+1].first
			}
		}
		r := plan.Range{Lo: key(), Hi: key()}
		if bytes.Compare(r.Lo, r.Hi) > 0 {
			r.Lo, r.Hi = r.Hi, r.Lo
		}
		switch rng.IntN(6) {
		case 0:
			r.Lo = nil
		case 1:
			r.Hi = nil
		case 2:
			r = plan.Range{}
		case 3:
			r = plan.Range{Lo: []byte{}, Hi: []byte{}}
		}
		var want []mr.Digest
		var size int64
		for _, b := range blocks {
			if r.Overlaps(b.first, b.last) {
				want = append(want, b.digest)
			}
			if r.Contains(b.first) {
				size += b.raw
			}
		}
		if got, raw := inRange(blocks, r); !slices.Equal(got, want) || raw != size {
			t.Fatalf("range %q of %+v: %d blocks, %d bytes; want %d, %d", r, blocks, len(got), raw, len(want), size)
		}
	}
}

func BenchmarkInRange(b *testing.B) {
	const blocks, ranges = 8000, 800 // a gigabyte of one run, of a job of a hundred
	bs := make([]block, blocks)
	for i := range bs {
		bs[i].first, bs[i].last = fmt.Appendf(nil, "key %08d", i), fmt.Appendf(nil, "key %08d", i+1)
	}
	for b.Loop() {
		for i := range ranges {
			inRange(bs, plan.Range{Lo: fmt.Appendf(nil, "key %08d", i*blocks/ranges), Hi: fmt.Appendf(nil, "key %08d", (i+1)*blocks/ranges)})
		}
	}
}
