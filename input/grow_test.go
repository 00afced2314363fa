package input

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestGrown appends to files before, while and after they are read. What was there when they
// were listed is read, with the record that was torn at their end.
func TestGrown(t *testing.T) {
	fixed := mr.Format{Kind: mr.Fixed, N: 4}
	for _, c := range []struct {
		name       string
		format     mr.Format
		data, more string
		want       string
	}{
		{"whole lines", mr.Format{}, "a\nbb\n", "cc\ndd\n", "a\nbb\n"},
		{"a torn line", mr.Format{}, "a\nbb", "cc\ndd\n", "a\nbbcc\n"},
		{"a line without end", mr.Format{}, "a\nbb", "cc", "a\nbbcc"},
		{"one line without end", mr.Format{}, "bb", "cc", "bbcc"},
		{"a long rest", mr.Format{}, "a\nbb", strings.Repeat("c", 2*chunk) + "\nd\n", "a\nbb" + strings.Repeat("c", 2*chunk) + "\n"},
		{"nothing", mr.Format{}, "", "cc\ndd\n", ""},
		{"fixed records", fixed, "aaaabbbb", "cccc", "aaaabbbb"},
		{"a torn record", fixed, "aaaabb", "bbcccc", "aaaabbbb"},
	} {
		path := filepath.Join(t.TempDir(), "f")
		for size := range int64(8) { // 0: whole
			for _, buffer := range []int64{0, 1} {
				for _, during := range []bool{false, true} {
					write(t, path, []byte(c.data))
					splits := splitsOf(t, CutOptions{SplitSize: size, Format: c.format}, path)
					once := sync.OnceFunc(func() { must(0, appendTo(path, c.more)) })
					if !during {
						once()
					}
					var got []byte
					for _, s := range splits {
						l, err := load(t.Context(), s, Options{Format: c.format, Buffer: buffer}, &meddler{beforeRead: func(int64) { once() }})
						if err != nil {
							t.Fatalf("%s, splits of %d: %v", c.name, size, err)
						}
						if !l.Moved() {
							t.Errorf("%s, splits of %d: %s has not moved", c.name, size, s)
						}
						blocks, err := drain(l.Blocks(t.Context()))
						if err != nil {
							t.Fatalf("%s, splits of %d: %v", c.name, size, err)
						}
						got = append(got, concat(blocks)...)
						l.Close()
					}
					if string(got) != c.want {
						t.Errorf("%s, splits of %d, during %v: %d bytes, want %d", c.name, size, during, len(got), len(c.want))
					}
				}
			}
		}
	}
}

// TestGrownDigest: the digest is that of the bytes read, and a quiet file has not moved.
func TestGrownDigest(t *testing.T) {
	dir := t.TempDir()
	data := text(random(1), 10_000, 50)
	path := write(t, filepath.Join(dir, "f"), data)
	copied := write(t, filepath.Join(dir, "g"), data)
	o := CutOptions{SplitSize: 3000}
	grown, quiet := splitsOf(t, o, path), splitsOf(t, o, copied)
	must(0, appendTo(path, "more\n"))
	for i := range grown {
		g, q := loadSplit(t, grown[i], Options{}), loadSplit(t, quiet[i], Options{})
		if g.Digest() != q.Digest() || !g.Moved() || q.Moved() {
			t.Errorf("%s: digests equal: %v; moved: %v and %v", grown[i], g.Digest() == q.Digest(), g.Moved(), q.Moved())
		}
		g.Close()
		q.Close()
	}
	l := loadSplit(t, quiet[0], Options{Buffer: 1})
	defer l.Close()
	must(0, appendTo(copied, "more\n"))
	if _, err := drain(l.Blocks(t.Context())); err != nil || !l.Moved() {
		t.Errorf("appended to between two readings: moved %v, error %v", l.Moved(), err)
	}
}

// TestGrownRefused: the beginning of a compressed file, and of a record, is worth nothing.
func TestGrownRefused(t *testing.T) {
	for _, f := range []mr.Format{{}, {Kind: mr.Whole}} {
		data := gzipped([]byte("a\n"))
		if f.Kind == mr.Whole {
			data = []byte("a\n")
		}
		for _, during := range []bool{false, true} {
			path := write(t, filepath.Join(t.TempDir(), "f"), data)
			s := wholeSplit(t, path)
			dev := &meddler{beforeRead: func(int64) {
				if during {
					must(0, appendTo(path, string(data)))
				}
			}}
			if !during {
				must(0, appendTo(path, string(data)))
			}
			_, err := load(context.Background(), s, Options{Format: f}, dev)
			changed(t, err, path)
		}
	}
}

// TestAppendedWhileLoaded plans and reads a log again and again while somebody appends to it,
// in writes that end anywhere. All that was there at the planning is in one split each, in
// order; and nothing else but the rest of the last line.
func TestAppendedWhileLoaded(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "log"), nil)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	must(0, err)
	var stop atomic.Bool
	done := make(chan error)
	go func() {
		defer f.Close()
		r := random(1)
		var pending []byte
		for i, written := 0, 0; !stop.Load(); {
			if written > 1<<20 {
				time.Sleep(time.Millisecond) // the file must stay small
			}
			for len(pending) < 4096 {
				pending = fmt.Appendf(pending, "line %d %s\n", i, bytes.Repeat([]byte{'x'}, r.IntN(200)))
				i++
			}
			n, err := f.Write(pending[:1+r.IntN(len(pending))])
			if err != nil {
				done <- err
				return
			}
			written += n
			pending = pending[n:]
		}
		done <- nil
	}()
	var moved int
	for round := 0; round < 40 || moved < 10 && round < 10_000; round++ {
		o := CutOptions{SplitSize: int64(1000 + 3000*(round%40))}
		splits := splitsOf(t, o, path)
		planned := splits[0].Pieces[0].Stamp.Size
		var all []byte
		for _, s := range splits {
			opt := Options{}
			if round%2 == 1 && len(splits) < 100 {
				opt.Buffer = 1
			}
			l := loadSplit(t, s, opt)
			blocks, err := drain(l.Blocks(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, concat(blocks)...)
			if l.Moved() {
				moved++
			}
			l.Close()
		}
		now, err := os.ReadFile(path)
		must(0, err)
		want := planned // or further, to the end of the line that was torn there
		if planned > 0 && now[planned-1] != '\n' {
			if want = planned + int64(bytes.IndexByte(now[planned:], '\n')) + 1; want == planned {
				want = int64(len(now))
			}
		}
		if n := int64(len(all)); !bytes.HasPrefix(now, all) || n < planned || n > want || n < want && all[n-1] == '\n' {
			t.Fatalf("round %d: %d bytes were planned and %d read, not %d, of a file of %d", round, planned, n, want, len(now))
		}
	}
	stop.Store(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if moved == 0 {
		t.Error("nothing was appended while the log was read")
	}
}
