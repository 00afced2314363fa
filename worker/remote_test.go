package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/input"
	"github.com/mrd-io/mr/plan"
)

// shelf is a store of runs in memory.
type shelf struct {
	mu        sync.Mutex
	runs      map[uint64][][]byte
	discarded []uint64
	full      bool
}

type shelfRun struct {
	s      *shelf
	id     uint64
	blocks [][]byte
}

func (s *shelf) Create() RunSink { return &shelfRun{s: s} }

func (w *shelfRun) WriteBlock(b []byte) error {
	if w.s.full {
		return fmt.Errorf("writing: %w", syscall.ENOSPC)
	}
	w.blocks = append(w.blocks, bytes.Clone(b))
	return nil
}

func (w *shelfRun) Seal(context.Context) (uint64, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.id = uint64(len(w.s.runs) + 100)
	w.s.runs[w.id] = w.blocks
	return w.id, nil
}

func (w *shelfRun) Discard() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.discarded = append(w.s.discarded, w.id)
}

func (s *shelf) Open(id uint64) (RunSource, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs[id] == nil {
		return nil, fmt.Errorf("run %d: %w", id, ErrLost)
	}
	return shelfSource{s.runs[id]}, nil
}

func (s *shelf) OpenSealed(id uint64) (RunSource, error) { return s.Open(id) }

type shelfSource struct{ blocks [][]byte }

func (s shelfSource) Blobs() int { return len(s.blocks) }
func (s shelfSource) Close()     {}
func (s shelfSource) ReadBlock(i int, dst []byte) ([]byte, error) {
	return append(dst[:0], s.blocks[i]...), nil
}

// counter is a Desk with a Remote that talks to it over pipes.
type counter struct {
	t      *testing.T
	s      *shelf
	desk   *Desk
	remote *Remote
	held   map[plan.Attempt]string
	losing plan.Attempt // is off the books after it was asked for once
	from   string
	binary []byte
	errs   chan error
}

func newCounter(t *testing.T) *counter {
	c := &counter{t: t, s: &shelf{runs: map[uint64][][]byte{}}, held: map[plan.Attempt]string{}, errs: make(chan error, 100)}
	c.desk = NewDesk(DeskOptions{
		Runs:   c.s,
		Binary: func(mr.Digest) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c.binary)), nil },
		Holds: func(a plan.Attempt, part, from string) bool {
			held := c.held[a]
			if a == c.losing {
				delete(c.held, a)
			}
			return held == part && (from == "" || from == c.from)
		},
	})
	c.remote = NewRemote(1, func() (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			c.errs <- c.desk.Serve(there)
			there.Close() //nolint:errcheck // a pipe
		}()
		return here, nil
	})
	t.Cleanup(c.remote.Close)
	return c
}

func TestRemoteRuns(t *testing.T) {
	c := newCounter(t)
	for _, blocks := range [][][]byte{
		{},
		{[]byte("small"), {}},
		{bytes.Repeat([]byte("a"), 40<<10), bytes.Repeat([]byte("b"), 40<<10), bytes.Repeat([]byte("c"), 3<<20)},
	} {
		w := c.remote.Create()
		for _, b := range blocks {
			mine := bytes.Clone(b)
			if err := w.WriteBlock(mine); err != nil {
				t.Fatal(err)
			}
			clear(mine) // it is the writer's again
		}
		id, err := w.Seal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, open := range []func(uint64) (RunSource, error){c.remote.Open, c.remote.OpenSealed} {
			src, err := open(id)
			if len(blocks) == 0 { // the shelf has no runs without blocks
				continue
			}
			if err != nil || src.Blobs() != len(blocks) {
				t.Fatalf("%v, %v", src, err)
			}
			for i, want := range blocks {
				if got, err := src.ReadBlock(i, nil); err != nil || !bytes.Equal(got, want) {
					t.Errorf("block %d: %d bytes of %d, %v", i, len(got), len(want), err)
				}
			}
			if _, err := src.ReadBlock(len(blocks), nil); err == nil {
				t.Error("a block that is not there was read")
			}
			src.Close()
		}
	}
	if _, err := c.remote.Open(5); !errors.Is(err, ErrLost) {
		t.Errorf("a run that is gone: %v", err)
	}
	if _, err := c.remote.OpenSealed(5); err == nil || errors.Is(err, ErrLost) {
		t.Errorf("a sealed run of somebody else: %v", err)
	}
}

func TestRemoteRunsAreDiscarded(t *testing.T) {
	c := newCounter(t)
	one := c.remote.Create()
	id, err := one.Seal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one.Discard()
	if len(c.s.discarded) != 1 || c.s.discarded[0] != id {
		t.Errorf("discarded %v, want run %d", c.s.discarded, id)
	}
	open := c.remote.Create() // and never sealed: its stream breaks
	if err := open.WriteBlock(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.remote.Create().Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.remote.Close()
	for range 2 {
		<-c.errs
	}
	c.desk.Close()
	// Run 100 twice (dropped, and told again at the end, which has no effect), the open one, and the second.
	if len(c.s.discarded) != 4 {
		t.Errorf("discarded %v", c.s.discarded)
	}
	if _, err := c.remote.Create().Seal(t.Context()); err == nil {
		t.Error("a run was sealed after the end")
	}
}

func TestRemoteFullDisk(t *testing.T) {
	c := newCounter(t)
	c.s.full = true
	w := c.remote.Create()
	if err := w.WriteBlock(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Seal(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk is %v", err)
	}
	c.s.full = false
	again := c.remote.Create()
	if err := again.WriteBlock(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Seal(t.Context()); err != nil {
		t.Errorf("the stream did not outlive an error: %v", err)
	}
}

func TestRemoteParts(t *testing.T) {
	c := newCounter(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "_temporary", "job", "part")
	parts := c.remote.Parts()
	if _, err := parts.Create(7, path); !errors.Is(err, errFenced) {
		t.Errorf("an attempt that is not held made a part: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "_temporary")); err == nil {
		t.Error("a refused part left a folder")
	}
	c.held[7] = path
	if _, err := parts.Create(7, path+"x"); !errors.Is(err, errFenced) {
		t.Errorf("an attempt made another part than its own: %v", err)
	}
	f, err := parts.Create(7, path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("hello\n", 100_000)
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	if err := f.Seal(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != text {
		t.Errorf("the part has %d bytes, %v", len(b), err)
	}
	c.held[8] = path + ".8"
	g, err := parts.Create(8, path+".8")
	if err != nil {
		t.Fatal(err)
	}
	g.Discard()
	if _, err := os.Stat(path + ".8"); err == nil {
		t.Error("a discarded part is there")
	}
	late := filepath.Join(dir, "gone", "job", "part")
	c.held[11], c.losing = late, 11
	if _, err := parts.Create(11, late); !errors.Is(err, errFenced) {
		t.Errorf("an attempt that was fenced meanwhile made a part: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "gone")); err == nil {
		t.Error("it left a folder")
	}
	digest := mr.Digest(blake3.Sum256([]byte(text)))
	c.held[9], c.from = path+".9", path
	for _, l := range []struct {
		a        plan.Attempt
		from, to string
		d        mr.Digest
		ok       bool
	}{
		{9, path, path + ".9", mr.Digest{1}, false},
		{9, path + ".other", path + ".9", digest, false},
		{10, path, path + ".9", digest, false},
		{9, path, path + ".9", digest, true},
	} {
		if n, ok := parts.Link(l.a, l.from, l.to, l.d); ok != l.ok || ok && n != int64(len(text)) {
			t.Errorf("%+v: %d, %v", l, n, ok)
		}
	}
	late = filepath.Join(dir, "gone again", "job", "part")
	c.held[12], c.losing = late, 12
	if _, ok := parts.Link(12, path, late, digest); ok {
		t.Error("an attempt that was fenced meanwhile linked a part")
	}
	if _, err := os.Stat(filepath.Join(dir, "gone again")); err == nil {
		t.Error("it left a folder")
	}
}

// The memory of a huge block is not held for those that follow.
func TestHugeBlocksAreForgotten(t *testing.T) {
	c := newCounter(t)
	c.s.runs[7] = [][]byte{make([]byte, 8*frameStep), []byte("small")}
	var sent bytes.Buffer
	s := &deskStream{d: c.desk, f: newFramer(&sent)}
	for i := range 2 {
		if err := s.get(7, false, i); err != nil {
			t.Fatal(err)
		}
		if n := cap(s.buf); n > 4*frameStep {
			t.Errorf("%d bytes are held after block %d", n, i)
		}
	}
	if _, b, err := newFramer(&sent).read(); err != nil || len(b) != 8*frameStep {
		t.Errorf("the block came as %d bytes, %v", len(b), err)
	}
}

func TestFetch(t *testing.T) {
	c := newCounter(t)
	dir := filepath.Join(t.TempDir(), "bin")
	c.binary = bytes.Repeat([]byte("program "), 400_000)
	program, digest := c.binary, mr.Digest(sha256.Sum256(c.binary))
	for range 2 {
		path, err := c.remote.Fetch(dir, digest)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, program) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
		c.binary = c.binary[:10] // is not asked for again
	}
	if _, err := c.remote.Fetch(dir, mr.Digest{9}); err == nil || !strings.Contains(err.Error(), "it came as") {
		t.Errorf("another binary was taken: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".mr-fetch-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// A binary that was damaged on the worker's disk is fetched again.
func TestDamagedBinaryIsFetchedAgain(t *testing.T) {
	children := newTestChildren(t, ChildOptions{}) // closed last
	c := newCounter(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if c.binary, err = os.ReadFile(exe); err != nil {
		t.Fatal(err)
	}
	f := &Fetched{Children: children, Remote: c.remote, Dir: t.TempDir()}
	kept := filepath.Join(f.Dir, ownDigest().String())
	if err := os.WriteFile(kept, c.binary[:len(c.binary)/2], 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := f.Open(t.Context(), "", ownDigest(), "count", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := mapLines(t, r, "a"); err != nil {
		t.Error(err)
	}
}

// TestFrameGolden holds the frames' bytes.
func TestFrameGolden(t *testing.T) {
	var b bytes.Buffer
	f := newFramer(&b)
	if err := errors.Join(f.write(frameCreate), f.write(frameBlock, []byte("ab"), []byte("c")), f.w.Flush()); err != nil {
		t.Fatal(err)
	}
	const want = "43000000003a10ac6f" + "4200000003616263305d9602"
	if got := hex.EncodeToString(b.Bytes()); got != want {
		t.Errorf("frames are %s", got)
	}
}

// Every flipped bit and every cut of a stream is noticed.
func TestFramesAreChecked(t *testing.T) {
	var b bytes.Buffer
	f := newFramer(&b)
	if err := errors.Join(f.write(frameBlock, []byte("some bytes")), f.w.Flush()); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	read := func(b []byte) error {
		_, _, err := newFramer(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(b), io.Discard}).read()
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if err := read(whole[:i]); err == nil || i > 0 && err == io.EOF {
			t.Errorf("cut at %d: %v", i, err)
		}
		for bit := range 8 {
			bad := bytes.Clone(whole)
			bad[i] ^= 1 << bit
			if err := read(bad); err == nil {
				t.Errorf("bit %d of byte %d was flipped, and nobody noticed", bit, i)
			}
		}
	}
}

// FuzzDesk gives the daemon's end of a stream anything.
func FuzzDesk(f *testing.F) {
	frames := func(fs ...func(*framer) error) []byte {
		var b bytes.Buffer
		w := newFramer(&b)
		for _, f := range fs {
			f(w) //nolint:errcheck // into memory
		}
		w.w.Flush() //nolint:errcheck // likewise
		return b.Bytes()
	}
	frame := func(kind byte, p ...byte) func(*framer) error {
		return func(w *framer) error { return w.write(kind, p) }
	}
	f.Add(frames(frame(frameCreate), frame(frameBlock, 1, 2), frame(frameSeal)))
	f.Add(frames(frame(frameRun, 0, 0, 0, 0, 0, 0, 0, 100, 1), frame(frameGet, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 0, 0)))
	f.Add(frames(frame(framePart, append(make([]byte, 8), "/x"...)...), frame(frameLink, make([]byte, 50)...), frame(frameFetch, make([]byte, 32)...)))
	f.Add([]byte{frameBlock, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		s := &shelf{runs: map[uint64][][]byte{}}
		d := NewDesk(DeskOptions{
			Runs:   s,
			Binary: func(mr.Digest) (io.ReadCloser, error) { return nil, os.ErrNotExist },
			Holds:  func(plan.Attempt, string, string) bool { return false },
		})
		d.Serve(struct { //nolint:errcheck // any answer will do but a crash
			io.Reader
			io.Writer
		}{bytes.NewReader(in), io.Discard})
		d.Close()
		if made := len(s.runs); len(s.discarded) < made {
			t.Errorf("%d runs were sealed, and %d discarded", made, len(s.discarded))
		}
	})
}

// A worker whose files are copies says so, and one whose files differ fails the attempt,
// not the job.
func TestFilesOfAnotherHost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	write("b a b\n")
	files, err := input.List(t.Context(), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	splits, err := input.Cut(t.Context(), files, input.CutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Runs: &shelf{runs: map[uint64][][]byte{}}, Builtin: func(string) (*mr.Definition, bool) { return nil, false }, Host: "far (there)"})
	var known mr.Digest
	attempt := plan.Attempt(0)
	try := func(expect mr.Digest) plan.Result {
		b, err := splits[0].MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var res plan.Result
		attempt++
		w := plan.Work{Attempt: attempt, Kind: plan.Map, Split: b, Expect: expect, Memory: 1 << 20}
		if err := s.RunTask(&w, &res); err != nil {
			t.Fatal(err)
		}
		s.Abandon(attempt, nil) //nolint:errcheck // never fails
		return res
	}
	res := try(known)
	if known = res.Split; !res.Identified || res.Moved {
		t.Fatalf("the very file: %+v", res)
	}
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, s.o.Apart = range []bool{false, true} {
		switch res := try(mr.Digest{}); {
		case s.o.Apart && (!res.Identified || !res.Moved || res.Split != known):
			t.Errorf("a copy whose numbers are those of the file, on another machine: %+v", res)
		case !s.o.Apart && (res.Failure.Kind != plan.UserError || !strings.Contains(res.Failure.Message, "its times moved")):
			t.Errorf("the very file, changed since it was listed: %+v", res.Failure)
		}
	}
	if err := os.Rename(path, path+".old"); err != nil { // the copy has another inode
		t.Fatal(err)
	}
	if res := try(known); res.Failure.Kind != plan.UserError || !strings.Contains(res.Failure.Message, "on far (there): ") || !strings.Contains(res.Failure.Message, path) {
		t.Errorf("a file that is missing: %+v", res.Failure)
	}
	write("b a b\n")
	if res := try(mr.Digest{}); !res.Identified || !res.Moved || res.Split != known {
		t.Errorf("a copy: %+v", res)
	}
	write("c a c\n")
	if res := try(known); res.Failure.Kind != plan.UserError || !strings.Contains(res.Failure.Message, "are not those of the daemon's host") {
		t.Errorf("other bytes: %+v", res.Failure)
	}
	write("b a\n")
	if res := try(mr.Digest{}); res.Failure.Kind != plan.UserError || !strings.Contains(res.Failure.Message, "it has 4 bytes here, and 6") {
		t.Errorf("a shorter file: %+v", res.Failure)
	}
}
