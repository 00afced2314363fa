package input

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// mapped opens a file and maps it into memory, until done is called.
func mapped(t *testing.T, path string, size int) (mem []byte, done func()) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	mem, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	return mem, func() { _ = unix.Munmap(mem) }
}

// TestMemoryMap writes to pages that are dirty already, through a memory map: after the file
// was read its stamp must move, as the stamp vouches for what was read.
func TestMemoryMap(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	var fs unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skip("the file system never writes back", err)
	}
	const size = 300 << 10
	write(t, path, make([]byte, size))
	mem, done := mapped(t, path, size)
	defer func() { done() }()
	places := []int{0, size / 2, size - 1}
	for _, i := range places {
		mem[i] = 'a'
	}
	time.Sleep(settle + 50*time.Millisecond)
	fixed := mr.Format{Kind: mr.Fixed, N: size / 3}
	for i, format := range []mr.Format{{}, fixed, {}, {}} {
		later := i == len(places)
		if later { // nobody has the dirty page mapped while the file is read
			done()
			i--
		}
		splits := splitsOf(t, CutOptions{SplitSize: size / 2, Format: format}, path)
		for _, s := range splits {
			l, err := Load(t.Context(), s, Options{Format: format})
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
		}
		if !splits[0].Settled(time.Now()) {
			t.Fatal("the file is not settled: nothing is tested")
		}
		if later {
			mem, done = mapped(t, path, size)
		}
		mem[places[i]]++
		now, err := splits[0].Restamp()
		if err != nil {
			t.Fatal(err)
		}
		if now.Pieces[0].Stamp == splits[0].Pieces[0].Stamp {
			t.Errorf("%s: byte %d was written, and the stamp is what it was", format, places[i])
		}
		time.Sleep(settle + 50*time.Millisecond)
	}
}
