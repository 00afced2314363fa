package run

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"
)

// Where much did not shrink, little is tried, and what shrinks behind it is found all the same.
func TestCompressionIsFoundAgain(t *testing.T) {
	const size, noisy, calm = 64 << 10, 3*rarely + 1, 3 * rarely
	var b blobs
	w := NewWriter(&b, Options{BlockSize: size})
	rng := rand.New(rand.NewSource(1))
	value := make([]byte, 1000)
	for i := 0; len(b) < noisy+calm; i++ {
		if len(b) < noisy {
			rng.Read(value)
		} else {
			clear(value)
		}
		if err := w.Record(fmt.Appendf(nil, "%08d", i), value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Verify(b, len(b)); err != nil {
		t.Fatal(err)
	}
	b = b[:len(b)-1] // without the index
	codecs := make([]byte, len(b))
	for i := range b {
		codecs[i] = b[i][4]
	}
	if n := bytes.Count(codecs[:noisy], []byte{codecS2}); n != 0 {
		t.Errorf("%d blocks of noise are compressed", n)
	}
	if n := bytes.Count(codecs[noisy+rarely:], []byte{codecNone}); n != 0 {
		t.Errorf("of those that shrink, %d are not compressed: %v", n, codecs)
	}
}
