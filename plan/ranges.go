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

// Cut cuts the key space into n ranges of about equal weight, at first keys of blocks.
// group maps a key to the shortest key of its group (the identity for whole-key
// groups): a group is never cut. The result always has exactly n ranges, since a user
// who asks for n parts gets n files; where there are too few distinct keys the last
// ones are empty. sticky are cut keys of an earlier job of the same stage: they are
// used again while they still balance, so that unchanged ranges keep their keys.
func Cut(ws []Weight, n int, group func([]byte) []byte, sticky [][]byte) []Range {
	slices.SortFunc(ws, func(a, b Weight) int { return bytes.Compare(a.Key, b.Key) })
	var total int64
	for _, w := range ws {
		total += w.Bytes
	}
	cuts := stickyCuts(ws, total, n, sticky)
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

// stickyCuts returns the earlier cuts if every range they make is at most twice its
// fair share and there are as many as asked for; else nil.
func stickyCuts(ws []Weight, total int64, n int, sticky [][]byte) [][]byte {
	if len(sticky) == 0 || len(sticky) != n-1 {
		return nil
	}
	i, sum := 0, int64(0)
	limit := 2 * (total/int64(n) + 1)
	for _, w := range ws {
		for i < len(sticky) && bytes.Compare(w.Key, sticky[i]) >= 0 {
			i, sum = i+1, 0
		}
		if sum += w.Bytes; sum > limit {
			return nil
		}
	}
	return sticky
}
