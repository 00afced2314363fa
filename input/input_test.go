package input

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// Helpers of the package's tests.

func write(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func list(t testing.TB, patterns ...string) []File {
	t.Helper()
	files, err := List(context.Background(), patterns)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func splitsOf(t testing.TB, o CutOptions, patterns ...string) []Split {
	t.Helper()
	splits, err := Cut(t.Context(), list(t, patterns...), o)
	if err != nil {
		t.Fatal(err)
	}
	return splits
}

func loadSplit(t testing.TB, s Split, o Options) *Loaded {
	t.Helper()
	l, err := Load(context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// drain reads all blocks and copies them.
func drain(r mr.BlockReader) ([]mr.Block, error) {
	var blocks []mr.Block
	for {
		b, err := r.Next()
		if err == io.EOF {
			return blocks, nil
		}
		if err != nil {
			return blocks, err
		}
		b.Data = bytes.Clone(b.Data)
		blocks = append(blocks, b)
	}
}

// readSplit loads a split and returns its blocks and digest.
func readSplit(t testing.TB, s Split, o Options) ([]mr.Block, mr.Digest, int64) {
	t.Helper()
	l := loadSplit(t, s, o)
	defer l.Close()
	blocks, err := drain(l.Blocks(context.Background()))
	if err != nil {
		t.Fatal(err)
	}
	return blocks, l.Digest(), l.Start()
}

func concat(blocks []mr.Block) []byte {
	var data []byte
	for _, b := range blocks {
		data = append(data, b.Data...)
	}
	return data
}

// failure loads a split of one file and reads it, and returns the error, which must be of
// kind Failed, name the file and contain each of the words.
func failure(t *testing.T, dev device, s Split, o Options, words ...string) error {
	t.Helper()
	l, err := load(context.Background(), s, o, dev)
	if err == nil {
		_, err = drain(l.Blocks(context.Background()))
		l.Close()
	}
	checkFailure(t, err, append(words, s.Pieces[0].Path)...)
	return err
}

func checkFailure(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if mr.KindOf(err) != mr.Failed {
		t.Errorf("kind %v, want Failed: %v", mr.KindOf(err), err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q: %v", w, err)
		}
	}
}

// wholeSplit is a split of one whole file.
func wholeSplit(t testing.TB, path string) Split {
	t.Helper()
	f := list(t, path)[0]
	return Split{Pieces: []Piece{{Path: f.Path, Len: -1, Stamp: f.Stamp}}}
}

// text makes n bytes or a little more of lines whose mean length is mean, with CRLFs, NULs,
// empty lines and invalid UTF-8.
func text(r *rand.Rand, n, mean int) []byte {
	data := make([]byte, 0, n+mean)
	for len(data) < n {
		for range int(r.ExpFloat64() * float64(mean)) {
			c := byte(r.IntN(256))
			if c == '\n' {
				c = 'n'
			}
			data = append(data, c)
		}
		if r.IntN(4) == 0 {
			data = append(data, '\r')
		}
		data = append(data, '\n')
	}
	return data
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }
