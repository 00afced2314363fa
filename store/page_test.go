package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// boltWith makes a bbolt file with n values of up to size bytes in bucket blobs, written
// in several transactions, and returns its path and contents.
func boltWith(t testing.TB, n, size int) (string, map[string][]byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := make(map[string][]byte)
	r := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	for i := 0; i < n; {
		err := db.Update(func(b *bolt.Tx) error {
			bucket, err := b.CreateBucketIfNotExists(blobsBucket())
			if err != nil {
				return err
			}
			bucket.FillPercent = 1
			for end := min(n, i+1+r.IntN(50)); i < end; i++ {
				key := blobKey(nil, RunID(1<<32+r.IntN(4)), uint32(i))
				val := make([]byte, r.IntN(size+1))
				for j := range val {
					val[j] = byte(r.Uint32())
				}
				want[string(key)] = val
				if err := bucket.Put(key, val); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return path, want
}

// TestFindAgreesWithBolt holds the page reader against bbolt: each value lies in the file
// where bbolt's memory map has it.
func TestFindAgreesWithBolt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, size int }{{1, 5000}, {3, 70_000}, {300, 100}, {300, 9000}, {2000, 20}} {
		t.Run(fmt.Sprintf("%d of %d", c.n, c.size), func(t *testing.T) {
			path, want := boltWith(t, c.n, c.size)
			bf, err := openBolt(path, true, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer bf.db.Close()
			if err := walkFile(bf.f); err != nil {
				t.Error(err)
			}
			err = bf.db.View(func(b *bolt.Tx) error {
				bucket := b.Bucket(blobsBucket())
				p := pages{r: bf.f, pageSize: bf.db.Info().PageSize, highWater: uint64(b.Size()) / uint64(bf.db.Info().PageSize)}
				for key, val := range want {
					e, ok, err := p.find(uint64(bucket.Root()), []byte(key))
					if err != nil || !ok || e.size != len(val) {
						return fmt.Errorf("key %x: %+v, %v, %w", key, e, ok, err)
					}
					if mapped := bucket.Get([]byte(key)); len(mapped) > 0 {
						if off := uintptr(unsafe.Pointer(&mapped[0])) - bf.db.Info().Data; int64(off) != e.off {
							return fmt.Errorf("key %x lies at %d and was found at %d", key, off, e.off)
						}
					}
					got := make([]byte, e.size)
					if _, err := bf.f.ReadAt(got, e.off); err != nil || !bytes.Equal(got, val) {
						return fmt.Errorf("key %x: other bytes, %w", key, err)
					}
					for _, absent := range []string{key + "\x00", key[:11], "", "\xff"} {
						if _, ok, err := p.find(uint64(bucket.Root()), []byte(absent)); ok || err != nil {
							return fmt.Errorf("key %x was found, %w", absent, err)
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPageCycle points a branch at its own ancestor, which sends bbolt into a recursion
// that no recover stops.
func TestPageCycle(t *testing.T) {
	path, want := boltWith(t, 1000, 300)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := readMeta(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	cycles := 0
	for id := uint64(2); id < m.highWater; id++ {
		p := pages{r: f, pageSize: m.pageSize, highWater: m.highWater}
		pg, err := p.read(id)
		if err != nil || pg.flags != branchPage {
			continue // an overflow or free page
		}
		for i := range pg.count {
			var self [8]byte
			*(*uint64)(unsafe.Pointer(&self)) = id
			if _, err := f.WriteAt(self[:], pg.off+int64(pageHeader+i*elemSize+8)); err != nil {
				t.Fatal(err)
			}
		}
		cycles++
		if err := p.spine(id); err == nil {
			t.Fatal("the spine of a circle has an end")
		}
		for key := range want {
			if _, ok, err := p.find(id, []byte(key)); ok || err == nil {
				t.Fatalf("found %x in a circle", key)
			}
			break
		}
	}
	if cycles == 0 {
		t.Fatal("the file has no branch")
	}
	if err := walkFile(f); err == nil {
		t.Error("the walk has not noticed")
	}
}

// FuzzPages damages a file in one place and reads all of it: that may fail, and must
// end, without a panic.
func FuzzPages(f *testing.F) {
	path, want := boltWith(f, 200, 3000)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(4096*3+8), []byte{1, 0})
	f.Add(uint32(32), []byte{0xff, 0xff, 0xff})
	f.Add(uint32(4096*5), []byte{9})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		b := bytes.Clone(whole)
		copy(b[int(at)%len(b):], patch)
		readAll(bytes.NewReader(b), int64(len(b)), want)
	})
}

func readAll(r *bytes.Reader, size int64, want map[string][]byte) error {
	m, err := readMeta(r, size)
	if err != nil {
		return err
	}
	p := pages{r: r, pageSize: m.pageSize, highWater: m.highWater}
	err = p.walk(m.root, make(map[uint64]bool))
	for id := uint64(2); id < m.highWater; id++ {
		for key := range want {
			if _, _, ferr := p.find(id, []byte(key)); ferr != nil {
				err = ferr
			}
			break
		}
	}
	return err
}

// TestFlippedPages flips single bits all over a file: readAll must always end.
func TestFlippedPages(t *testing.T) {
	t.Parallel()
	path, want := boltWith(t, 60, 3000)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	failed := 0
	for range 800 {
		b := bytes.Clone(whole)
		page := r.IntN(len(b) / 4096)
		b[page*4096+r.IntN(200)] ^= 1 << r.IntN(8) // where the structure is
		if readAll(bytes.NewReader(b), int64(len(b)), want) != nil {
			failed++
		}
	}
	if failed < 8 {
		t.Errorf("only %d of 800 damages were noticed", failed)
	}
}

// TestUnlinkedWhileOpened removes files in the moment in which they are opened: none comes back empty.
func TestUnlinkedWhileOpened(t *testing.T) {
	t.Parallel()
	path, _ := boltWith(t, 1, 10)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Millisecond
	for i := range 500 {
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		removed, after := make(chan error), took*time.Duration(i%20)/20
		go func() {
			time.Sleep(after)
			removed <- os.Remove(path)
		}()
		began := time.Now()
		bf, err := openBolt(path, false, 0, 0)
		if err == nil {
			took = time.Since(began)
			err = bf.db.Close()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err := errors.Join(err, <-removed); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("it is there once more, after %d times: %v", i, err)
		}
	}
}
