package corpus

import "math/bits"

// A zipf draws ranks 0, 1, 2, … as words of a language are drawn: rank r < headRanks with weight
// 1/(r+3.7), which is Zipf's law with Mandelbrot's shift; and the ranks beyond with a power law that
// falls off faster, the steeper the sooner the vocabulary is known.
//
// It is an alias table (Walker, Vose) of one entry for each head rank and one for each bin of tail
// ranks; a bin is 2^(1/8) times as wide as the one before, and ranks in it are equally likely.
type zipf struct {
	entries []aliasEntry
	binFrom []uint64
	binSize []uint64
}

type aliasEntry struct {
	keep  uint32 // of 2^32: how often this entry stands for itself
	other uint32 // else it stands for this one
}

const (
	headRanks = 8192
	tailBins  = 184   // 23 octaves: ranks up to 2^36
	aliasSize = 16384 // a power of two above headRanks + tailBins
)

// eighths are 2^(i/8), in units of 2^-32.
var eighths = [8]uint64{
	4294967296, 4683695048, 5107605667, 5569883475, 6074001000, 6623745059, 7223245206, 7877004752,
}

// tail is a power law beyond the head. Its numbers follow from the exponent s, and are written out
// because floating-point arithmetic is not the same on every machine.
type tail struct {
	first uint64 // the first bin's weight, of 2^40: (1-ratio)/(s-1), about
	ratio uint64 // of each bin's weight to the one before, of 2^40: 2^((1-s)/8)
}

var (
	mixedTail = tail{first: 93966442179, ratio: 1070372429881} // s = 1.31: 6 M distinct in 109 M
	goTail    = tail{first: 92008430559, ratio: 1025880623293} // s = 1.80: 1 M distinct in 131 M
)

func newZipf(t tail) *zipf {
	weights := make([]uint64, aliasSize)
	for r := range uint64(headRanks) {
		weights[r] = 10 << 40 / (10*r + 37)
	}
	z := &zipf{}
	w := t.first
	for b := range tailBins {
		weights[headRanks+b] = w
		hi, lo := bits.Mul64(w, t.ratio)
		w = hi<<24 | lo>>40
		from, to := binEdge(b), binEdge(b+1)
		z.binFrom, z.binSize = append(z.binFrom, from), append(z.binSize, to-from)
	}
	z.entries = aliases(weights)
	return z
}

func binEdge(b int) uint64 { return eighths[b%8] << (b / 8) >> (32 - 13) }

// aliases makes a table of len(weights) entries, each drawn equally often.
func aliases(weights []uint64) []aliasEntry {
	n, total := uint64(len(weights)), uint64(0)
	for _, w := range weights {
		total += w
	}
	scaled := make([]uint64, n) // in units in which an entry holds total
	var small, large []int
	for i, w := range weights {
		if scaled[i] = w * n; scaled[i] < total {
			small = append(small, i)
		} else {
			large = append(large, i)
		}
	}
	entries := make([]aliasEntry, n)
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		keep, _ := bits.Div64(scaled[s]>>32, scaled[s]<<32, total)
		entries[s] = aliasEntry{uint32(keep), uint32(l)}
		if scaled[l] -= total - scaled[s]; scaled[l] < total {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, i := range append(small, large...) { // exactly total each
		entries[i] = aliasEntry{1<<32 - 1, uint32(i)}
	}
	return entries
}

// draw returns a rank below headRanks, or headRanks plus a bin. It uses the lowest 14 and the highest
// 32 bits of x.
func (z *zipf) draw(x uint64) int {
	i := uint32(x) % aliasSize
	e := z.entries[i]
	if uint32(x>>32) >= e.keep {
		i = e.other
	}
	return int(i)
}

// inBin returns a rank of the bin, chosen by x.
func (z *zipf) inBin(bin int, x uint64) uint64 {
	hi, _ := bits.Mul64(x, z.binSize[bin])
	return z.binFrom[bin] + hi
}
