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

// Empty reports whether no key can lie in r.
func (r Range) Empty() bool { return r.Lo != nil && r.Hi != nil && bytes.Compare(r.Lo, r.Hi) >= 0 }

// Overlaps reports whether some key in [first, last] may lie in r.
func (r Range) Overlaps(first, last []byte) bool {
	return (r.Hi == nil || bytes.Compare(first, r.Hi) < 0) && (r.Lo == nil || bytes.Compare(last, r.Lo) >= 0)
}

// Weight says that Bytes of records lie from Key to Last: a block of a run and its bounds.
type Weight struct {
	Key, Last []byte
	Bytes     int64
}

// The bounds of the default number of reduce tasks. RangeBytes is the uncompressed
// size that one task should have: large enough that its fixed cost vanishes, small
// enough that a few cores find work and a lost attempt is cheap.
//
// Where very many runs reach into such a range, it has little more than the ends of blocks of
// each: then ranges are larger, up to wideRange.
//
// Where that makes only a few, smaller ranges leave more of an output as it is when data
// arrives under new keys. What they cost is the part of a block that is decoded in vain
// at each of their ends, in each run that reaches there: nothing much where runs follow
// each other by key, as those of logs by hour, and soon all that is gained where each
// run has all keys.
const (
	RangeBytes = 32 << 20
	MaxRanges  = 4096

	wideRange = 128 << 20
	wideEdges = 256 << 10 // that a larger range has for each run that reaches into it: two blocks, and one in vain

	fewRanges  = 16
	smallRange = 1 << 20
	edgeBytes  = 512 << 10 // that a range should have for each run that reaches into it
)

// rangeBytes is the size that the ranges of a job should have.
func rangeBytes(ws []Weight, total int64) int64 {
	runs := overlap(ws)
	small := max(smallRange, int64(runs*edgeBytes))
	most := min(max(RangeBytes, int64(runs*wideEdges)), wideRange)
	return max(min(max(total/fewRanges+1, small), most), total/MaxRanges+1)
}

// overlap is how many blocks there are at a key, on average over the bytes: about the
// number of runs that reach there. ws is sorted.
func overlap(ws []Weight) float64 {
	lasts := make([][]byte, len(ws))
	for i, w := range ws {
		lasts[i] = w.Last
	}
	slices.SortFunc(lasts, bytes.Compare)
	var sum, total float64
	ended := 0
	for i, w := range ws {
		for ended < len(lasts) && bytes.Compare(lasts[ended], w.Key) <= 0 {
			ended++
		}
		sum += float64(w.Bytes) * float64(max(i+1-ended, 1))
		total += float64(w.Bytes)
	}
	return sum / max(total, 1)
}

// defaultReducers is the number of ranges of size bytes each.
func defaultReducers(total, size int64) int { return int(max((total+size-1)/size, 1)) }

// Cut cuts the key space into ranges of about equal weight, at first keys of blocks. n
// is the number the user asked for, and gets: where there are too few distinct keys the
// last ranges are empty. With n 0 the number follows from the bytes. group maps a key
// to the shortest key of its group (the identity for whole-key groups): a group is never
// cut. sticky are the cut keys of an earlier job of the same stage: they are used again
// while they balance, so that ranges whose records did not change keep their keys.
func Cut(ws []Weight, n int, group func([]byte) []byte, sticky [][]byte) []Range {
	slices.SortFunc(ws, func(a, b Weight) int { return bytes.Compare(a.Key, b.Key) })
	total := weigh(ws)
	var cuts [][]byte
	if n == 0 {
		size := rangeBytes(ws, total)
		n = defaultReducers(total, size)
		cuts = growCuts(ws, n, size, group, sticky)
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
// heavier than twice the size that a range should have. Where that makes more than twice
// the n ranges that there should be, the lightest neighbours are joined. It returns nil if
// there is nothing to keep.
func growCuts(ws []Weight, n int, size int64, group func([]byte) []byte, sticky [][]byte) [][]byte {
	if len(sticky) == 0 || !slices.IsSortedFunc(sticky, bytes.Compare) {
		return nil
	}
	var cuts [][]byte
	at := 0
	for i := 0; i <= len(sticky); i++ {
		end := len(ws)
		if i < len(sticky) {
			end = at + before(ws[at:], sticky[i])
		}
		if sum := weigh(ws[at:end]); sum > 2*size {
			cuts = append(cuts, evenCuts(ws[at:end], sum, defaultReducers(sum, size), group)...)
		}
		if i < len(sticky) {
			cuts = append(cuts, sticky[i])
		}
		at = end
	}
	cuts = slices.CompactFunc(cuts, bytes.Equal)
	if !slices.IsSortedFunc(cuts, bytes.Compare) {
		return nil
	}
	return joinLight(ws, cuts, 2*n+1)
}

// joinLight takes cuts away until at most that many are left, each time the one between
// the two ranges that weigh least together.
func joinLight(ws []Weight, cuts [][]byte, most int) [][]byte {
	if len(cuts) <= most {
		return cuts
	}
	sums := make([]int64, 0, len(cuts)+1) // of the ranges
	at := 0
	for _, c := range cuts {
		end := at + before(ws[at:], c)
		sums, at = append(sums, weigh(ws[at:end])), end
	}
	sums = append(sums, weigh(ws[at:]))
	for len(cuts) > most {
		light := 0
		for i := range cuts {
			if sums[i]+sums[i+1] < sums[light]+sums[light+1] {
				light = i
			}
		}
		sums[light] += sums[light+1]
		sums = slices.Delete(sums, light+1, light+2)
		cuts = slices.Delete(cuts, light, light+1)
	}
	return cuts
}

func weigh(ws []Weight) (sum int64) {
	for _, w := range ws {
		sum += w.Bytes
	}
	return sum
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
