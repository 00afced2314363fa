package worker

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

// somePart makes a part file that is as far as its last cached byte, less before.
func somePart(t *testing.T, before int64) *localPart {
	t.Helper()
	f, err := localParts{}.Create(1, filepath.Join(t.TempDir(), "folder", "part"))
	if err != nil {
		t.Fatal(err)
	}
	p := f.(*localPart)
	p.size = cachedPart - before
	return p
}

// Whatever its size, and that of the writes, a part file holds what was written.
func TestPartFilesOfAllSizes(t *testing.T) {
	const before = 3*directUnit + 5
	text := make([]byte, before+3*partPiece+2*directUnit)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	for _, n := range []int{
		0, 1, before - 1, before, before + 1, before + directUnit, before + directUnit + 1, before + partPiece - 1, before + partPiece,
		before + partPiece + 1, before + 2*partPiece, before + 3*partPiece + directUnit, len(text),
	} {
		p := somePart(t, before)
		for rest := text[:n]; len(rest) > 0; {
			k := min(len(rest), 1+rand.IntN(partPiece*5/4))
			if m, err := p.Write(rest[:k]); m != k || err != nil {
				t.Fatalf("%d of %d bytes: %d, %v", k, n, m, err)
			}
			rest = rest[k:]
		}
		if err := p.Seal(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(p.f.Name())
		if from := min(len(b), cachedPart-before); err != nil || !bytes.Equal(b[from:], text[:n]) {
			t.Errorf("of %d bytes, %d are there, %v", n, len(b)-from, err)
		}
	}
}

// Records whose text in JSON is longer than they are don't gather in memory.
func TestJSONIsWrittenAsItGrows(t *testing.T) {
	p := &partWriter{f: nowhere{}, hash: blake3.New(), format: FormatJSONL}
	for range 1_000_000 {
		if err := p.Record([]byte{1}, []byte("<&>")); err != nil || cap(p.buf) > 2*partBuffer {
			t.Fatalf("%d bytes are in memory behind %d that were written, %v", cap(p.buf), p.bytes, err)
		}
	}
}

// A file system that accepts a direct file and refuses its writes costs nothing but speed.
func TestRefusedDirectWrites(t *testing.T) {
	p := somePart(t, 0)
	text := bytes.Repeat([]byte("0123456789"), partPiece/4)
	if _, err := p.Write(text[:10]); err != nil {
		t.Fatal(err)
	}
	odd := make([]byte, 1+partPiece) // at an odd address, which no direct write accepts
	p.piece = append(odd[1:1:1+partPiece], p.piece...)
	if _, err := p.Write(text[10:]); err != nil {
		t.Fatal(err)
	}
	if err := p.Seal(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(p.f.Name())
	if err != nil || !bytes.Equal(b[cachedPart:], text) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// An error of a piece is told by a later write, before more than partPieces wait, or by Seal,
// and stays.
func TestPartFileErrors(t *testing.T) {
	for _, n := range []int{0, 1, 2, partPieces, partPieces + 2} { // whole pieces
		good := somePart(t, 0)
		f, err := os.Open(good.f.Name()) // for reading only
		if err != nil {
			t.Fatal(err)
		}
		good.Discard()
		p := &localPart{f: f, size: cachedPart}
		_, err = p.Write(make([]byte, n*partPiece+1))
		if n == 0 && err != nil || n >= partPieces && err == nil {
			t.Errorf("writing %d pieces is %v", n, err)
		}
		if err := p.Seal(); !errors.Is(err, syscall.EBADF) {
			t.Errorf("with %d pieces the end is %v", n, err)
		}
		if _, err := p.Write([]byte{1}); !errors.Is(err, syscall.EBADF) {
			t.Errorf("a write after an error is %v", err)
		}
	}
}

// A part that is discarded is gone, also in the middle of a piece.
func TestPartFileDiscarded(t *testing.T) {
	for _, n := range []int64{0, partPiece - 1, partPiece, 3*partPiece + 1} {
		p := somePart(t, 0)
		if _, err := io.CopyN(p, rand.NewChaCha8([32]byte{}), n); err != nil {
			t.Fatal(err)
		}
		p.Discard()
		if p.out != nil {
			t.Error("something is being written yet")
		}
		if _, err := os.Stat(p.f.Name()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// What stands in the place of an old part, but is none, gets no other name: the output would have a
// link that leads nowhere, or the attempt would wait for a writer of the pipe. Nor does a part that was made
// under another umask: who may read the output is for the present one to say.
func TestOnlyFilesAreLinked(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(os.WriteFile(path("file"), nil, 0o666), os.WriteFile(path("secret"), nil, 0o400)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Symlink("file", path("link")), syscall.Mkfifo(path("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var empty mr.Digest
	blake3.New().Sum(empty[:0])
	for _, name := range []string{"file", "secret", "link", "pipe", "missing"} {
		if _, ok := (localParts{}).Link(1, path(name), path("new-"+name), empty); ok != (name == "file") {
			t.Errorf("%s: %t", name, ok)
		}
	}
}
