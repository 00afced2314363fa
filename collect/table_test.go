package collect

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"strings"
)

// int64s encodes integers as varints.
type int64s struct{}

func (int64s) Append(dst []byte, v int64) []byte {
	return binary.AppendVarint(dst, v)
}

func (int64s) Decode(src []byte) (int64, error) {
	v, n := binary.Varint(src)
	if n <= 0 || n != len(src) {
		return 0, fmt.Errorf("%x is no integer", src)
	}
	return v, nil
}

type float64s struct{}

func (float64s) Append(dst []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

func (float64s) Decode(src []byte) (float64, error) {
	return math.Float64frombits(binary.BigEndian.Uint64(src)), nil
}

// texts encodes strings, and says what they hold.
type texts struct{}

func (texts) Append(dst []byte, v string) []byte { return append(dst, v...) }
func (texts) Decode(src []byte) (string, error)  { return string(src), nil }
func (texts) Size(v string) int                  { return len(v) }

func sum[V int64 | float64](a, b V) V { return a + b }

// list is a Sink that keeps everything.
type list struct{ keys, values []string }

func (l *list) Record(key, value []byte) error {
	l.keys = append(l.keys, string(key))
	l.values = append(l.values, string(value))
	return nil
}

// keySets are key sequences that have broken hash tables and sorts before.
func keySets() map[string][][]byte {
	rng := rand.New(rand.NewSource(7))
	sets := map[string][][]byte{"nothing": nil, "one empty key": {{}}}
	add := func(name string, n int, key func(i int) []byte) {
		for i := range n {
			sets[name] = append(sets[name], key(i))
		}
	}
	add("empty key among others", 5000, func(i int) []byte { return []byte(strings.Repeat("x", i%3)) })
	add("zeros of all lengths", 8000, func(i int) []byte { return make([]byte, rng.Intn(40)) })
	add("random bytes", 15000, func(i int) []byte {
		k := make([]byte, rng.Intn(20))
		rng.Read(k)
		return k
	})
	add("two letters", 20000, func(i int) []byte {
		k := make([]byte, rng.Intn(18))
		for j := range k {
			k[j] = "\x00\xff"[rng.Intn(2)]
		}
		return k
	})
	add("shared prefixes", 30000, func(i int) []byte {
		return []byte(strings.Repeat("prefix89", rng.Intn(4)) + fmt.Sprint(rng.Intn(9000)))
	})
	add("one hot key", 60000, func(i int) []byte {
		if rng.Intn(2) == 0 {
			return []byte("hot")
		}
		return fmt.Appendf(nil, "cold-%d", i)
	})
	add("zipf", 130000, func() func(int) []byte {
		z := rand.NewZipf(rng, 1.1, 60, 1<<20)
		return func(int) []byte { return fmt.Appendf(nil, "w%x", z.Uint64()*0x9e3779b1) }
	}())
	add("long keys", 600, func(i int) []byte {
		return []byte(strings.Repeat("long", rng.Intn(1500)) + fmt.Sprint(rng.Intn(3)))
	})
	return sets
}

// memories are budgets from nothing but disk to no disk at all.
var memories = []int64{1, 1 << 20, 0}
