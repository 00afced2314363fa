package robustness

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// corpus is seeded text in a few files, and what each job makes of it, by programs that
// have nothing in common with the engine: sequential, in memory, with maps.
type corpus struct {
	dir   string
	lines int
	want  map[string][]byte // by the job's name
}

// newCorpus makes a corpus in a folder of its own.
func newCorpus(t *testing.T, seed uint64, files, bytesEach int) *corpus {
	t.Helper()
	c, err := makeCorpus(filepath.Join(t.TempDir(), "in"), seed, files, bytesEach)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sharedCorpus is the one that most rounds read: by the time it is used again its files
// are old enough for their stamps to be trusted.
var sharedCorpus = sync.OnceValues(func() (*corpus, error) {
	bin, err := build()
	if err != nil {
		return nil, err
	}
	return makeCorpus(filepath.Join(bin, "corpus"), 1, 5, 1200<<10)
})

func shared(t *testing.T) *corpus {
	t.Helper()
	c, err := sharedCorpus()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func makeCorpus(dir string, seed uint64, files, bytesEach int) (*corpus, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	c := &corpus{dir: dir, want: map[string][]byte{}}
	rng := rand.New(rand.NewPCG(seed, 7))
	zipf := rand.NewZipf(rng, 1.1, 4, 200_000)
	counts := map[string]int{}
	places := map[string][]string{}
	var lines []string
	for f := range files {
		var b bytes.Buffer
		path := filepath.Join(dir, fmt.Sprintf("f%02d.txt", f))
		for b.Len() < bytesEach {
			var line []string
			for range 1 + rng.IntN(12) {
				w := fmt.Sprintf("w%x", zipf.Uint64()*2654435761%1_000_003)
				line = append(line, w)
				counts[w]++
				if p := places[w]; len(p) == 0 || p[len(p)-1] != path {
					places[w] = append(p, path)
				}
			}
			lines = append(lines, strings.Join(line, " "))
			b.WriteString(lines[len(lines)-1])
			b.WriteByte('\n')
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			return nil, err
		}
		old := time.Now().Add(-time.Hour) // the change time stays that of now
		if err := os.Chtimes(path, old, old); err != nil {
			return nil, err
		}
	}
	c.lines = len(lines)
	var count, index, sorted bytes.Buffer
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&count, "%s\t%d\n", w, counts[w])
		fmt.Fprintf(&index, "%s\t%d %s\n", w, len(places[w]), strings.Join(places[w], ","))
	}
	slices.Sort(lines)
	for _, line := range lines {
		sorted.WriteString(line)
		sorted.WriteByte('\n')
	}
	c.want["wordcount"], c.want["index"], c.want["sort"] = count.Bytes(), index.Bytes(), sorted.Bytes()
	return c, nil
}
