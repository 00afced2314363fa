package store

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
)

// bbolt believes its freelist: a page in it that is in use, or none, is damage that the walk finds.
func TestFreelistIsWalked(t *testing.T) {
	path, _ := boltWith(t, 1000, 300)
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
	p := pages{r: f, pageSize: m.pageSize, highWater: m.highWater}
	list, n, at, err := p.freelist(m.freelist)
	if err != nil || n < 2 {
		t.Fatalf("%d free pages, %v", n, err)
	}
	if err := walkFile(f); err != nil {
		t.Fatal(err)
	}
	var ids [16]byte // the first two
	if _, err := f.ReadAt(ids[:], list.off+at); err != nil {
		t.Fatal(err)
	}
	second := binary.NativeEndian.Uint64(ids[8:])
	for what, id := range map[string]uint64{
		"the root": m.root, "itself": m.freelist, "a page twice": second, "a header": 1,
		"what is behind the file": m.highWater, "what is far behind it": second | 1<<50,
	} {
		if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, id), list.off+at); err != nil {
			t.Fatal(err)
		}
		if err := walkFile(f); !errors.Is(err, errBadPage) {
			t.Errorf("the freelist names %s: %v", what, err)
		}
	}
}
