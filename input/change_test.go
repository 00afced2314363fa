package input

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// meddler is a kernel with somebody at work between two calls.
type meddler struct {
	kernel
	beforeRead func(off int64) // called before each read
	most       int             // of bytes that a read returns; 0: all
	failAt     int64           // reads that reach this offset fail with EIO; 0: none
	openErr    error
	stamp      *Stamp // stat's answer, to hide a change from it
}

func (m *meddler) open(path string) (int, error) {
	if m.openErr != nil {
		return -1, m.openErr
	}
	return m.kernel.open(path)
}

func (m *meddler) stat(fd int) (Stamp, bool, error) {
	s, regular, err := m.kernel.stat(fd)
	if m.stamp != nil {
		s = *m.stamp
	}
	return s, regular, err
}

func (m *meddler) read(fd int, p []byte, off int64) (int, error) {
	if m.beforeRead != nil {
		m.beforeRead(off)
	}
	if m.failAt > 0 && off+int64(len(p)) > m.failAt {
		return 0, unix.EIO
	}
	if m.most > 0 {
		p = p[:min(m.most, len(p))]
	}
	return m.kernel.read(fd, p, off)
}

func appendTo(path, data string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(data)
		err = errors.Join(err, f.Close())
	}
	return err
}

// changes are the things that happen to files, each on a fresh file of at least 1000 bytes.
var changes = map[string]func(path string) error{
	"append with older times": func(path string) error {
		return errors.Join(appendTo(path, "more\n"), os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)))
	},
	"truncate": func(path string) error { return os.Truncate(path, 100) },
	"overwrite with the old times": func(path string) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString("other")
			err = errors.Join(err, f.Close())
		}
		return errors.Join(err, os.Chtimes(path, info.ModTime(), info.ModTime()))
	},
	"touch": func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)) },
	"replace by rename": func(path string) error {
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path+".new", data, 0o644)
		}
		return errors.Join(err, os.Rename(path+".new", path))
	},
	"remove": os.Remove,
	"a FIFO takes its place": func(path string) error {
		return errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644))
	},
	"a folder takes its place": func(path string) error {
		return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
	},
}

// seen says whether a change shows through a file that was opened before it.
func seen(change string) bool {
	return change != "remove" && change != "replace by rename" &&
		change != "a FIFO takes its place" && change != "a folder takes its place"
}

func changed(t *testing.T, err error, path string) {
	t.Helper()
	checkFailure(t, err, path)
	if !errors.Is(err, ErrChanged) {
		t.Errorf("not ErrChanged: %v", err)
	}
}

// pause lets the file system's clock, which may tick every 10 ms, move on.
func pause() { time.Sleep(12 * time.Millisecond) }

func TestChangeBeforeLoad(t *testing.T) {
	for name, change := range changes {
		for _, size := range []int64{0, 2000} {
			path := write(t, filepath.Join(t.TempDir(), "f"), text(random(1), 5000, 50))
			splits := splitsOf(t, CutOptions{SplitSize: size}, path)
			pause()
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			for _, s := range splits {
				_, err := Load(context.Background(), s, Options{})
				if !errors.Is(err, ErrChanged) {
					t.Errorf("%s: %s: error %v, want ErrChanged", name, s, err)
				}
				checkFailure(t, err, path)
				if name == "remove" && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%v is not fs.ErrNotExist", err)
				}
			}
		}
	}
}

func TestChangeDuringLoad(t *testing.T) {
	for name, change := range changes {
		if !seen(name) {
			continue // the open file is still the old one, whole and unchanged
		}
		t.Run(name, func(t *testing.T) {
			for _, buffer := range []int64{0, 1} {
				path := write(t, filepath.Join(t.TempDir(), "f"), text(random(1), 3*chunk, 50))
				pause()
				reads := 0
				dev := &meddler{beforeRead: func(int64) {
					if reads++; reads == 2 {
						if err := change(path); err != nil {
							t.Fatal(err)
						}
					}
				}}
				_, err := load(context.Background(), wholeSplit(t, path), Options{Buffer: buffer}, dev)
				changed(t, err, path)
			}
		})
	}
}

// TestChangeBetweenReadings: what is not in memory is read twice, and must be the same.
func TestChangeBetweenReadings(t *testing.T) {
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "f"), text(random(1), 5000, 50))
			l := loadSplit(t, wholeSplit(t, path), Options{Buffer: 1})
			defer l.Close()
			pause()
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			_, err := drain(l.Blocks(context.Background()))
			changed(t, err, path)
		})
	}
}

// TestHiddenChange: even if the stamps tell nothing, the second reading is hashed.
func TestHiddenChange(t *testing.T) {
	for _, compress := range []bool{false, true} {
		data := text(random(1), 5000, 50)
		other := bytes.Clone(data)
		other[2500] ^= 1
		if compress {
			data, other = uncompressedGzip(data), uncompressedGzip(other)
		}
		path := write(t, filepath.Join(t.TempDir(), "f"), data)
		s := wholeSplit(t, path)
		l, err := load(context.Background(), s, Options{Buffer: 1}, &meddler{stamp: &s.Pieces[0].Stamp})
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, other)
		_, err = drain(l.Blocks(context.Background()))
		changed(t, err, path)
		l.Close()
	}
}

// uncompressedGzip makes gzip files whose lengths do not depend on what the bytes are.
func uncompressedGzip(data []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	must(0, err)
	must(w.Write(data))
	must(0, w.Close())
	return b.Bytes()
}

func TestReadErrors(t *testing.T) {
	data := text(random(1), 4*chunk, 50)
	path := write(t, filepath.Join(t.TempDir(), "f"), data)
	s := wholeSplit(t, path)
	for _, buffer := range []int64{0, 1} {
		err := failure(t, &meddler{failAt: 3 * chunk}, s, Options{Buffer: buffer}, "cannot read at offset", "input/output error")
		if !errors.Is(err, unix.EIO) || errors.Is(err, ErrChanged) {
			t.Errorf("error %v, want EIO only", err)
		}
	}
	failure(t, &meddler{openErr: unix.EACCES}, s, Options{}, "permission denied", "make it readable")
	failure(t, &meddler{openErr: unix.EMFILE}, s, Options{}, "ulimit -n")

	l := loadSplit(t, s, Options{Buffer: 1}) // the error comes with the second reading
	defer l.Close()
	l.dev = &meddler{failAt: 3 * chunk}
	blocks, err := drain(l.Blocks(context.Background()))
	checkFailure(t, err, path, "input/output error")
	if len(concat(blocks)) >= len(data) {
		t.Error("all bytes, and an error")
	}
	zipped := write(t, filepath.Join(t.TempDir(), "f.gz"), gzipped(data))
	z := loadSplit(t, wholeSplit(t, zipped), Options{Buffer: 1})
	defer z.Close()
	z.dev = &meddler{failAt: chunk / 2}
	_, err = drain(z.Blocks(context.Background()))
	checkFailure(t, err, zipped, "cannot read at offset", "input/output error")

	if _, err := cut(t.Context(), list(t, path), CutOptions{SplitSize: 1000}, &meddler{openErr: unix.ENOENT}); !errors.Is(err, ErrChanged) {
		t.Errorf("sniffing a vanished file: %v", err)
	}
	_, err = cut(t.Context(), list(t, path), CutOptions{SplitSize: 1000}, &meddler{failAt: 1})
	checkFailure(t, err, path, "input/output error")
}

// TestShortReads: a file system may return less than was asked for.
func TestShortReads(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), text(random(1), 20_000, 50))
	for _, s := range append(splitsOf(t, CutOptions{SplitSize: 7000}, path), wholeSplit(t, path)) {
		want, digest, _ := readSplit(t, s, Options{})
		for _, buffer := range []int64{0, 1} {
			l, err := load(context.Background(), s, Options{Buffer: buffer}, &meddler{most: 7})
			if err != nil {
				t.Fatal(err)
			}
			got, err := drain(l.Blocks(context.Background()))
			if err != nil || l.Digest() != digest || !bytes.Equal(concat(got), concat(want)) {
				t.Errorf("%s: short reads give other data: %v", s, err)
			}
			l.Close()
		}
	}
}

// TestNoLeaks: whatever happens, every file that was opened is closed.
func TestNoLeaks(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), text(random(1), 3<<20, 50))
	gz := write(t, filepath.Join(t.TempDir(), "g"), gzipped(text(random(1), 3<<20, 50))[:1<<20])
	count := &counter{}
	for _, s := range append(splitsOf(t, CutOptions{SplitSize: 1 << 20}, path, gz), wholeSplit(t, path)) {
		for _, o := range []Options{{}, {Buffer: 1}, {RecordLimit: 3}, {RecordLimit: 3, Buffer: 1}} {
			l, err := load(context.Background(), s, o, count)
			if err != nil {
				continue
			}
			l.Blocks(context.Background())
			if _, err := l.Blocks(context.Background()).Next(); err != nil {
				checkFailure(t, err)
			}
			_, _ = drain(l.Blocks(context.Background())) // its errors are others' tests
			l.Close()
		}
	}
	if count.opened == 0 || count.opened != count.closed {
		t.Errorf("%d files opened, %d closed", count.opened, count.closed)
	}
}

type counter struct {
	kernel
	opened, closed int
}

func (c *counter) open(path string) (int, error) { c.opened++; return c.kernel.open(path) }
func (c *counter) close(fd int) error            { c.closed++; return c.kernel.close(fd) }

var _ mr.BlockReader = (*blockReader)(nil)
