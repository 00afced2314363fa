package collect

import (
	"fmt"
	"testing"
)

func hashOf(key []byte) uint64 {
	if len(key) > inline {
		return hashLong(key)
	}
	w := window(key)
	return hashShort(w.hi, w.mid, len(key))
}

// TestHashIsFixed holds the hash: evictions, and with them a fold's last bits,
// depend on it. A change needs another Profile.
func TestHashIsFixed(t *testing.T) {
	h := uint64(0)
	key := make([]byte, 0, 100)
	for i := range 100 {
		h = h*31 + hashOf(key)
		key = append(key, byte(i*7))
	}
	if got, want := fmt.Sprintf("%d %016x", Profile, h), "2 9fe3f3576c823a7a"; got != want {
		t.Errorf("profile and hash are %s, want %s", got, want)
	}
}

// TestHashSpreads counts keys that share the bits a full table goes by.
func TestHashSpreads(t *testing.T) {
	sets := map[string]func(i int) []byte{
		"numbers":       func(i int) []byte { return fmt.Append(nil, i) },
		"long numbers":  func(i int) []byte { return fmt.Appendf(nil, "prefix-%d", i) },
		"longer ones":   func(i int) []byte { return fmt.Appendf(nil, "a long prefix of more bytes %d", i) },
		"longer suffix": func(i int) []byte { return fmt.Appendf(nil, "%d with a suffix of many bytes", i) },
		"zeros":         func(i int) []byte { return make([]byte, i) },
	}
	for name, key := range sets {
		n := 4096
		places := map[uint64]int{}
		for i := range n {
			k := key(i)
			places[hashOf(k)>>52]++
		}
		// 4096 balls in as many boxes leave 37 % of these empty.
		if len(places) < n*58/100 {
			t.Errorf("%s: %d keys in %d places", name, n, len(places))
		}
	}
}

// TestHeadDoesNotReadBeyondItsKey compares a key alone with the same in the midst of
// others.
func TestHeadDoesNotReadBeyondItsKey(t *testing.T) {
	block := []byte("\xffabcdefghijk\xff\xff\xff\xff\xff\xff\xff\xff")
	for n := range 12 {
		alone := append(make([]byte, 0, n), block[1:1+n]...)
		alone = alone[:n:n]
		if a, b := head(alone), head(block[1:1+n]); a != b {
			t.Errorf("%d bytes: %x alone, %x within a block", n, a, b)
		}
	}
}
