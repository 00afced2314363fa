package input

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
)

func someSplit() Split {
	return Split{Pieces: []Piece{
		{Path: "/data/a", Len: -1, Stamp: Stamp{Dev: 1, Ino: 2, Size: 100, Mtime: 3e9, Ctime: 4e9}},
		{Path: "/data/b", Off: 10, Len: 20, Stamp: Stamp{Dev: 1, Ino: 5, Size: 300, Mtime: 6e9, Ctime: 5e9}},
	}}
}

func TestPieceRanges(t *testing.T) {
	stamp := Stamp{Size: 100}
	for _, c := range []struct {
		p     Piece
		bytes int64
		text  string
	}{
		{Piece{Path: "f", Len: -1, Stamp: stamp}, 100, "f@[0,100)"},
		{Piece{Path: "f", Off: 0, Len: 60, Stamp: stamp}, 60, "f@[0,60)"},
		{Piece{Path: "f", Off: 60, Len: 60, Stamp: stamp}, 40, "f@[60,100)"},
		{Piece{Path: "f", Off: 200, Len: 60, Stamp: stamp}, 0, "f@[100,100)"},
		{Piece{Path: "f", Off: 1, Len: 1<<63 - 1, Stamp: stamp}, 99, "f@[1,100)"},
	} {
		if c.p.Bytes() != c.bytes || c.p.String() != c.text {
			t.Errorf("%s has %d bytes, want %s with %d", c.p, c.p.Bytes(), c.text, c.bytes)
		}
	}
	if n := someSplit().Bytes(); n != 120 {
		t.Errorf("%d bytes, want 120", n)
	}
	for _, c := range []struct {
		s    Split
		want string
	}{
		{Split{}, "no files"},
		{someSplit(), "2 files, /data/a … /data/b"},
		{Split{Pieces: someSplit().Pieces[1:]}, "/data/b@[10,30)"},
	} {
		if got := c.s.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestSettled(t *testing.T) {
	s := someSplit() // the youngest time is 6 s
	for at, want := range map[time.Duration]bool{0: false, 7 * time.Second: false, 8*time.Second - 1: false, 8 * time.Second: true} {
		if got := s.Settled(time.Unix(0, int64(at))); got != want {
			t.Errorf("at %v: %v, want %v", at, got, want)
		}
	}
	s.Pieces[0].Stamp.Ctime = 7e9
	if s.Settled(time.Unix(8, 0)) {
		t.Error("a young ctime is settled")
	}
}

// TestStampKeyFields: each field is in the key, and the path is not.
func TestStampKeyFields(t *testing.T) {
	base := someSplit().StampKey(mr.Format{}, 0)
	seen := map[mr.Digest]int{base: -1}
	for i, edit := range []func(*Piece){
		func(p *Piece) { p.Off++ },
		func(p *Piece) { p.Len++ },
		func(p *Piece) { p.Stamp.Dev++ },
		func(p *Piece) { p.Stamp.Ino++ },
		func(p *Piece) { p.Stamp.Size++ },
		func(p *Piece) { p.Stamp.Mtime++ },
		func(p *Piece) { p.Stamp.Ctime++ },
	} {
		s := someSplit()
		edit(&s.Pieces[1])
		k := s.StampKey(mr.Format{}, 0)
		if j, ok := seen[k]; ok {
			t.Errorf("edits %d and %d have one key", i, j)
		}
		seen[k] = i
	}
	s := someSplit()
	s.Pieces[0].Path = "/data/a.1"
	if s.StampKey(mr.Format{}, 0) != base {
		t.Error("the path is in the key")
	}
	if s.Positions(0) == someSplit().Positions(0) || s.Positions(0) == s.Positions(1) {
		t.Error("path or start are not in the positions")
	}
	for _, f := range []mr.Format{{Kind: mr.Whole}, {Kind: mr.Fixed, N: 1}, {Kind: mr.Fixed, N: 2}} {
		if k := s.StampKey(f, 0); seen[k] != 0 {
			t.Errorf("format %s has the key of another", f)
		} else {
			seen[k] = 1
		}
	}
	if a, b := s.StampKey(mr.Format{}, 1), s.StampKey(mr.Format{}, 2); a == base || b == base || a == b {
		t.Error("what is skipped is not in the key")
	}
}

// TestGoldenKeys: keys are stored, so they must not change but with DecoderVersion. The
// large split is hashed in several pieces.
func TestGoldenKeys(t *testing.T) {
	large := Split{}
	for range 500 {
		large.Pieces = append(large.Pieces, someSplit().Pieces...)
	}
	parts := []part{{codec: gzipCodec, size: 5, sum: mr.Digest{1}}, {size: 0, off: 7, at: 8, sum: mr.Digest{2}}}
	for name, c := range map[string]struct {
		got  mr.Digest
		want string
	}{
		"stamps":       {someSplit().StampKey(mr.Format{}, 0), "911b287c30ec"},
		"large stamps": {large.StampKey(mr.Format{Kind: mr.Fixed, N: 8}, 0), "fb8fbb6d102d"},
		"positions":    {someSplit().Positions(12), "e7802f81c932"},
		"digest":       {digestOf(parts), "c868058dda1e"},
	} {
		if c.got.Short() != c.want {
			t.Errorf("%s: %s, want %s", name, c.got.Short(), c.want)
		}
	}
}

// TestKeysHashTheirFields: a key is the hash of its fields one after the other, whether
// they fit in the buffer or not.
func TestKeysHashTheirFields(t *testing.T) {
	for _, n := range []int{0, 10, 125, 126, 127, 128, 1000, 5000} {
		k := newKey("test")
		want := append([]byte{4, 0, 0, 0, 0, 0, 0, 0}, "test"...)
		for i := range n {
			k.uint(uint64(i))
			want = binary.LittleEndian.AppendUint64(want, uint64(i))
		}
		k.string(strings.Repeat("x", n))
		want = binary.LittleEndian.AppendUint64(want, uint64(n))
		want = append(want, strings.Repeat("x", n)...)
		if k.sum() != blake3.Sum256(want) {
			t.Errorf("%d fields: another hash", n)
		}
	}
}
