package corpus

import "math/bits"

// random is SplitMix64: one addition and a mix a number, and a period that no output comes near.
// (The generators of math/rand cost a call each, which is most of the time at 300 MB/s.)
type random struct{ state uint64 }

// newRandom spreads seeds over the period, so that the streams of seeds 1 and 2 do not overlap.
func newRandom(seed uint64) random { return random{mix(mix(seed) + 1)} }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

// below returns a number in [0, n).
func (r *random) below(n uint64) uint64 {
	hi, _ := bits.Mul64(r.next(), n)
	return hi
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
