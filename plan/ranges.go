package plan

import (
	"bytes"
	"slices"
)

// Range is the keys k with Lo <= k < Hi by bytes; nil is unbounded.
type Range struct{ Lo, Hi []byte }

// Contains reports whether key lies in r.
func (r Range) Contains(key []byte) bool {
	return (r.Lo == nil || bytes.Compare(key, r.Lo) >= 0) && (r.Hi == nil || bytes.Compare(key, r.Hi) < 0)
}

// Overlaps reports whether some key in [first, last] may lie in r.
func (r Range) Overlaps(first, last []byte) bool {
	return (r.Hi == nil || bytes.Compare(first, r.Hi) < 0) && (r.Lo == nil || bytes.Compare(last, r.Lo) >= 0)
}

// Weight says that Bytes of records begin at Key: a block of a run and its first key.
type Weight struct {
	Key   []byte
	Bytes int64
}

// The bounds of the default number of reduce tasks. RangeBytes is the uncompressed
// size that one task should have: large enough that its fixed cost vanishes, small
// enough that a few cores find work and a lost attempt is cheap.
const (
	RangeBytes = 32 << 20
	MaxRanges  = 4096
)

// DefaultReducers chooses the number of ranges from the shuffled bytes alone.
func DefaultReducers(total int64) int {
	n := (total + RangeBytes - 1) / RangeBytes
	return int(min(max(n, 1), MaxRanges))
}

// Cut cuts the key space into ranges of about equal weight, at first keys of blocks. n
// is the number the user asked for, and gets: where there are too few distinct keys the
// last ranges are empty. With n 0 the number follows from the bytes. group maps a key
// to the shortest key of its group (the identity for whole-key groups): a group is never
// cut. sticky are the cut keys of an earlier job of the same stage: they are used again
// while they balance, so that ranges whose records did not change keep their keys.
func Cut(ws []Weight, n int, group func([]byte) []byte, sticky [][]byte) []Range {
	slices.SortFunc(ws, func(a, b Weight) int { return bytes.Compare(a.Key, b.Key) })
	var total int64
	for _, w := range ws {
		total += w.Bytes
	}
	var cuts [][]byte
	if n == 0 {
		n = DefaultReducers(total)
		cuts = growCuts(ws, n, group, sticky)
	} else if len(sticky) == n-1 && heaviest(ws, sticky) <= 2*(total/int64(n)+1) {
		cuts = sticky
	}
	if cuts == nil {
		cuts = evenCuts(ws, total, n, group)
	}
	rs := make([]Range, 0, n)
	var lo []byte
	for _, c := range cuts {
		rs = append(rs, Range{lo, c})
		lo = c
	}
	rs = append(rs, Range{lo, nil})
	for len(rs) < n {
		rs = append(rs, Range{[]byte{}, []byte{}})
	}
	return rs
}

// growCuts keeps the sticky cuts and cuts only the ranges between them that have become
// heavier than twice what a range should have. It returns nil when starting afresh
// would need less than half as many ranges, or there is nothing to keep.
func growCuts(ws []Weight, n int, group func([]byte) []byte, sticky [][]byte) [][]byte {
	if len(sticky) == 0 {
		return nil
	}
	var cuts [][]byte
	at := 0
	for i := 0; i <= len(sticky); i++ {
		end := len(ws)
		if i < len(sticky) {
			end = at + before(ws[at:], sticky[i])
		}
		var sum int64
		for _, w := range ws[at:end] {
			sum += w.Bytes
		}
		if sum > 2*RangeBytes {
			cuts = append(cuts, evenCuts(ws[at:end], sum, DefaultReducers(sum), group)...)
		}
		if i < len(sticky) {
			cuts = append(cuts, sticky[i])
		}
		at = end
	}
	cuts = slices.CompactFunc(cuts, bytes.Equal)
	if !slices.IsSortedFunc(cuts, bytes.Compare) || len(cuts)+1 > 2*n+2 {
		return nil
	}
	return cuts
}

// before returns how many of the sorted ws begin before key.
func before(ws []Weight, key []byte) int {
	i, _ := slices.BinarySearchFunc(ws, key, func(w Weight, k []byte) int { return bytes.Compare(w.Key, k) })
	return i
}

// evenCuts returns at most n-1 ascending cut keys.
func evenCuts(ws []Weight, total int64, n int, group func([]byte) []byte) [][]byte {
	var cuts [][]byte
	var sum int64
	for _, w := range ws {
		// The block's own records begin at w.Key: a cut there puts sum bytes before it.
		if len(cuts) < n-1 && sum >= total*int64(len(cuts)+1)/int64(n) && sum > 0 {
			c := bytes.Clone(group(w.Key))
			if len(c) > 0 && (len(cuts) == 0 || bytes.Compare(c, cuts[len(cuts)-1]) > 0) {
				cuts = append(cuts, c)
			}
		}
		sum += w.Bytes
	}
	return cuts
}

// heaviest is the weight of the heaviest range between cuts.
func heaviest(ws []Weight, cuts [][]byte) (most int64) {
	i, sum := 0, int64(0)
	for _, w := range ws {
		for i < len(cuts) && bytes.Compare(w.Key, cuts[i]) >= 0 {
			i, sum = i+1, 0
		}
		sum += w.Bytes
		most = max(most, sum)
	}
	return most
}
