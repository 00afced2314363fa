package input

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/mrd-io/mr"
)

// memo remembers digests by fast hash.
type memo map[Fast]mr.Digest

func (m memo) options(o Options, key uint64) Options {
	o.FastKey = key
	o.Recall = func(f Fast) (mr.Digest, bool) { d, ok := m[f]; return d, ok }
	return o
}

// TestRecall loads splits of all kinds three times: without a memo, with one that does not
// know them, and with one that does. The digests must be the same, and the bytes, also if the
// split is skimmed.
func TestRecall(t *testing.T) {
	dir := t.TempDir()
	data := text(random(1), 300_000, 60)
	write(t, filepath.Join(dir, "large"), data)
	write(t, filepath.Join(dir, "long"), append(bytes.Repeat([]byte{'x'}, 3*chunk), '\n'))
	for i := range 30 {
		write(t, filepath.Join(dir, "small", fmt.Sprint(i)), data[i*1000:i*1000+i*i])
	}
	write(t, filepath.Join(dir, "zip"), gzipped(data))
	for _, f := range []mr.Format{{}, {Kind: mr.Whole}} {
		m := memo{}
		splits := splitsOf(t, CutOptions{SplitSize: 20_000, Format: f}, dir)
		fasts := map[Fast]mr.Digest{}
		for round := range 2 {
			for _, s := range splits {
				_, want, start := readSplit(t, s, Options{Format: f})
				l := loadSplit(t, s, m.options(Options{Format: f}, 7))
				blocks, err := drain(l.Blocks(t.Context()))
				if err != nil || l.Digest() != want || l.Start() != start {
					t.Fatalf("%s: another digest in round %d, %v", s, round, err)
				}
				plain, _, _ := readSplit(t, s, Options{Format: f})
				if !bytes.Equal(concat(blocks), concat(plain)) {
					t.Fatalf("%s: other bytes", s)
				}
				if d, ok := fasts[l.Fast()]; l.Fast().IsZero() || ok && d != want {
					t.Fatalf("%s: fast hash %x stands for two contents", s, l.Fast())
				}
				if l.Recalled() != (round == 1 || m[l.Fast()] != mr.Digest{}) {
					t.Fatalf("%s, round %d: recalled is %v", s, round, l.Recalled())
				}
				fasts[l.Fast()] = want
				l.Close()
				o := m.options(Options{Format: f, Skim: true}, 7)
				k := loadSplit(t, s, o)
				if k.Recalled() != l.Recalled() || k.kept == k.Recalled() || k.Fast() != l.Fast() || k.Start() != start {
					t.Fatalf("%s, round %d: skimmed: recalled %v, in memory %v", s, round, k.Recalled(), k.kept)
				}
				if again, digest, _ := readSplit(t, s, o); digest != want || !bytes.Equal(concat(again), concat(plain)) {
					t.Fatalf("%s: skimmed, and other bytes or another digest", s)
				}
				k.Close()
			}
			for f, d := range fasts {
				m[f] = d
			}
		}
	}
}

// TestHiddenChangeOfSkimmed: what was known in passing is hashed again when it is read, and what
// was not known goes by the bytes in memory, whatever passed before.
func TestHiddenChangeOfSkimmed(t *testing.T) {
	data := text(random(1), 5000, 50)
	other := bytes.Clone(data)
	other[2500] ^= 1
	path := write(t, filepath.Join(t.TempDir(), "f"), data)
	s := wholeSplit(t, path)
	o := memo{}.options(Options{Skim: true}, 7)
	plain := loadSplit(t, s, o)
	defer plain.Close()
	m := memo{plain.Fast(): plain.Digest()}

	l, err := load(t.Context(), s, m.options(o, 7), &meddler{stamp: &s.Pieces[0].Stamp})
	if err != nil || !l.Recalled() {
		t.Fatal(l.Recalled(), err)
	}
	write(t, path, other)
	_, err = drain(l.Blocks(t.Context()))
	changed(t, err, path)
	l.Close()

	write(t, path, data)
	reads := 0
	l, err = load(t.Context(), s, o, &meddler{stamp: &s.Pieces[0].Stamp, beforeRead: func(int64) {
		if reads++; reads == 2 {
			write(t, path, other)
		}
	}})
	if err != nil || reads < 2 {
		t.Fatal(reads, err)
	}
	defer l.Close()
	if l.Fast() == plain.Fast() || l.Digest() == plain.Digest() {
		t.Errorf("the hash of bytes that only passed: %x, %s", l.Fast(), l.Digest())
	}
}

// TestFastFollowsBytes: key, bytes and pieces are in it. A split that is not in memory has none.
func TestFastFollowsBytes(t *testing.T) {
	dir := t.TempDir()
	seen := map[Fast]string{}
	fast := func(name string, key uint64, files ...string) {
		t.Helper()
		for i, data := range files {
			write(t, filepath.Join(dir, name, fmt.Sprint(i)), []byte(data))
		}
		s := splitsOf(t, CutOptions{}, filepath.Join(dir, name))[0]
		l := loadSplit(t, s, memo{}.options(Options{}, key))
		defer l.Close()
		if old, ok := seen[l.Fast()]; ok {
			t.Errorf("%s has the fast hash of %s", name, old)
		}
		seen[l.Fast()] = name
	}
	fast("one", 1, "ab\ncd\n")
	fast("other key", 2, "ab\ncd\n")
	fast("other byte", 1, "ab\ncx\n")
	fast("two files", 1, "ab\n", "cd\n")
	fast("other order", 1, "cd\n", "ab\n")
	fast("empty", 1, "")
	fast("two empty", 1, "", "")
	fast("gzip", 1, string(gzipped([]byte("ab\ncd\n"))))

	l := loadSplit(t, wholeSplit(t, filepath.Join(dir, "one", "0")), memo{}.options(Options{Buffer: 1}, 1))
	defer l.Close()
	if _, want, _ := readSplit(t, l.Split(), Options{}); !l.Fast().IsZero() || l.Digest() != want {
		t.Errorf("beyond the buffer: fast hash %x", l.Fast())
	}
}

// TestGoldenFast: fast hashes are stored.
func TestGoldenFast(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), text(random(1), 10_000, 50))
	l := loadSplit(t, wholeSplit(t, path), memo{}.options(Options{}, 0x0123456789abcdef))
	defer l.Close()
	if got := l.Fast(); hex.EncodeToString(got[:]) != "18ed6d4a2c55405ca5920e8dd9574dd6" {
		t.Errorf("the fast hash is %x now", got)
	}
}
