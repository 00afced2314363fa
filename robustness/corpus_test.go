package robustness

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// corpus is seeded text in a few files, and its word count by a program that has nothing
// in common with the engine.
type corpus struct {
	dir  string
	want []byte
}

func newCorpus(t *testing.T, seed uint64, files, bytesEach int) corpus {
	t.Helper()
	c := corpus{dir: filepath.Join(t.TempDir(), "in")}
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	zipf := rand.NewZipf(rng, 1.1, 4, 200_000)
	counts := map[string]int{}
	for f := range files {
		var b bytes.Buffer
		for b.Len() < bytesEach {
			for range 1 + rng.IntN(12) {
				w := fmt.Sprintf("w%x", zipf.Uint64()*2654435761%1_000_003)
				counts[w]++
				b.WriteString(w)
				b.WriteByte(' ')
			}
			b.WriteByte('\n')
		}
		if err := os.WriteFile(filepath.Join(c.dir, fmt.Sprintf("f%02d.txt", f)), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want bytes.Buffer
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&want, "%s\t%d\n", w, counts[w])
	}
	c.want = want.Bytes()
	return c
}
