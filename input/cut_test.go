package input

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

func TestCut(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), make([]byte, 1000))
	write(t, filepath.Join(dir, "b"), make([]byte, 2500))
	write(t, filepath.Join(dir, "c.gz"), slices.Concat(gzipped(nil), make([]byte, 2000)))
	write(t, filepath.Join(dir, "d"), nil)
	write(t, filepath.Join(dir, "e"), make([]byte, 900))
	for _, c := range []struct {
		o    CutOptions
		want string
	}{
		{CutOptions{SplitSize: 1000}, "a[0,1000) | b[0,1000) | b[1000,2000) | b[2000,2500) | c.gz[0,*) | d[0,0) e[0,900)"},
		{CutOptions{SplitSize: 1000, Format: mr.Format{Kind: mr.Whole}}, "a[0,1000) | b[0,2500) | c.gz[0,*) | d[0,0) e[0,900)"},
		{CutOptions{SplitSize: 1000, Format: mr.Format{Kind: mr.Fixed, N: 300}}, "a[0,1000) | b[0,900) | b[900,1800) | b[1800,2500) | c.gz[0,*) | d[0,0) e[0,900)"},
		{CutOptions{SplitSize: 999, Format: mr.Format{Kind: mr.Fixed, N: 2000}}, "a[0,1000) | b[0,2000) | b[2000,2500) | c.gz[0,*) | d[0,0) e[0,900)"},
		{CutOptions{}, "a[0,1000) b[0,2500) c.gz[0,*) d[0,0) e[0,900)"},
	} {
		var got []string
		for _, s := range splitsOf(t, c.o, dir) {
			var pieces []string
			for _, p := range s.Pieces {
				if p.whole() != (p.Off == 0 && (p.Len < 0)) || p.Path == "" || p.Stamp.Ino == 0 {
					t.Errorf("piece %+v", p)
				}
				name := strings.Replace(filepath.Base(p.String()), "@", "", 1)
				if strings.HasPrefix(name, "c.gz") {
					name = "c.gz[0,*)"
				}
				pieces = append(pieces, name)
			}
			got = append(got, strings.Join(pieces, " "))
		}
		if s := strings.Join(got, " | "); s != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.o, s, c.want)
		}
	}
	files := list(t, dir)
	files[1].Stamp.Size = 1 << 40
	if _, err := Cut(t.Context(), files, CutOptions{SplitSize: 1000}); mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), "--split-size") {
		t.Errorf("a billion splits: %v", err)
	}
}

// smallFiles makes n files in folders of 50, and of about mean bytes.
func smallFiles(seed uint64, n int, mean int64) []File {
	r := random(seed)
	files := make([]File, n)
	for i := range files {
		files[i] = File{
			Path:  fmt.Sprintf("/data/%04d/file-%06d.txt", i/50, r.IntN(1<<20)+i%50<<20),
			Stamp: Stamp{Ino: uint64(i), Size: r.Int64N(2 * mean)},
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

func mustPack(t testing.TB, files []File, size int64) []Split {
	t.Helper()
	splits, err := Cut(t.Context(), files, CutOptions{SplitSize: size})
	if err != nil {
		t.Fatal(err)
	}
	return splits
}

func packNames(s Split) string {
	var b strings.Builder
	for _, p := range s.Pieces {
		fmt.Fprintf(&b, "%s %d\n", path.Base(p.Path), p.Stamp.Size)
	}
	return b.String()
}

func TestPacksHoldAllFilesInOrder(t *testing.T) {
	for _, c := range []struct {
		n          int
		mean, size int64
	}{{1, 100, 1 << 20}, {2, 100, 200}, {5000, 4000, 1 << 20}, {20_000, 1, 1 << 20}, {300, 4000, 8000}} {
		files := smallFiles(uint64(c.n), c.n, c.mean)
		splits := mustPack(t, files, c.size)
		i, full := 0, 0
		for _, s := range splits {
			if len(s.Pieces) == 0 || len(s.Pieces) > maxPack || s.Bytes() > c.size {
				t.Fatalf("a pack of %d files and %d bytes", len(s.Pieces), s.Bytes())
			}
			for _, p := range s.Pieces {
				if p.Path != files[i].Path || p.Len != -1 || p.Off != 0 || p.Stamp != files[i].Stamp {
					t.Fatalf("file %d is %+v", i, p)
				}
				i++
			}
			if s.Bytes() > c.size/4 || len(s.Pieces) > maxPack/4 {
				full++
			}
		}
		if i != len(files) {
			t.Fatalf("%d files of %d in packs", i, len(files))
		}
		if len(splits) > 10 && full < len(splits)/2 {
			t.Errorf("%d files: only %d packs of %d are a quarter full", c.n, full, len(splits))
		}
	}
}

// TestOneFileDisturbsOnePack adds, removes and changes one file at a time: nearly always
// one pack is new, never more than the few that lie within a pack's length.
func TestOneFileDisturbsOnePack(t *testing.T) {
	const size = 256 << 10
	files := smallFiles(7, 4000, 4000)
	old := map[string]bool{}
	before := mustPack(t, files, size)
	for _, s := range before {
		old[packNames(s)] = true
	}
	r := random(8)
	total, edits := 0, 300
	for range edits {
		at := r.IntN(len(files))
		var edited []File
		switch r.IntN(3) {
		case 0:
			extra := File{Path: files[at].Path + "-new", Stamp: Stamp{Size: r.Int64N(8000)}}
			edited = slices.Insert(slices.Clone(files), at+1, extra)
		case 1:
			edited = slices.Delete(slices.Clone(files), at, at+1)
		case 2:
			edited = slices.Clone(files)
			edited[at].Stamp.Size = r.Int64N(8000)
		}
		fresh := 0
		for _, s := range mustPack(t, edited, size) {
			if !old[packNames(s)] {
				fresh++
			}
		}
		if fresh > 4 {
			t.Errorf("one file changed %d packs of %d", fresh, len(before))
		}
		total += fresh
	}
	if mean := float64(total) / float64(edits); mean > 1.3 {
		t.Errorf("one file changes %.2f packs on average", mean)
	}
}

// TestCopiedFolderIsPackedAlike, wherever it is and whatever lies beside it.
func TestCopiedFolderIsPackedAlike(t *testing.T) {
	files := smallFiles(9, 3000, 4000)
	moved := slices.Clone(files)
	for i := range moved {
		moved[i].Path = "/elsewhere/deep" + moved[i].Path
	}
	a, b := mustPack(t, files, 1<<18), mustPack(t, moved, 1<<18)
	if len(a) != len(b) {
		t.Fatalf("%d packs, and %d of the copy", len(a), len(b))
	}
	for i := range a {
		if packNames(a[i]) != packNames(b[i]) {
			t.Fatalf("pack %d differs", i)
		}
	}
}

// TestEqualNamesArePackedToo: equal base names, as of parts of jobs, must not lead to packs
// of one file.
func TestEqualNamesArePackedToo(t *testing.T) {
	var files []File
	for i := range 4000 {
		files = append(files, File{Path: fmt.Sprintf("/data/%05d/x/part-r-00000", i), Stamp: Stamp{Size: 1000}})
	}
	if n := len(mustPack(t, files, 100_000)); n > 150 { // 40 full ones; half full on average
		t.Errorf("%d packs", n)
	}
	same := slices.Repeat(files[:1], 100)
	if n := len(mustPack(t, same, 10_000)); n > 100 {
		t.Errorf("%d packs of one path", n)
	}
}

// TestGoldenPacks: where packs end is part of the identity of splits; a change of the rule
// would silently miss everything that is cached.
func TestGoldenPacks(t *testing.T) {
	h := fnv.New64a()
	splits := mustPack(t, smallFiles(1, 2000, 4000), 1<<18)
	for _, s := range splits {
		fmt.Fprintln(h, len(s.Pieces))
	}
	if got := fmt.Sprintf("%d %016x", len(splits), h.Sum64()); got != "60 8d5922640eaf1e23" {
		t.Errorf("the packs are %s now", got)
	}
}

func TestBuffers(t *testing.T) {
	last := int64(0)
	for n := int64(1); n < 1<<32; n += 1 + n/13 {
		class, size := classOf(n)
		if size < n || size < last || class >= classes || size > max(n+n/4+4, 1<<minClass) {
			t.Fatalf("class %d of %d bytes has %d", class, n, size)
		}
		if c, s := classOf(size); c != class || s != size {
			t.Fatalf("a buffer of %d bytes goes to class %d of %d bytes, not %d", size, c, s, class)
		}
		last = size
	}
	var p pool
	b := p.get(1 << 20)
	p.put(b[:10])
	p.put(nil)
	p.put(bytes.Repeat([]byte{1}, 1000)) // not of the pool: left to the collector
	if b := p.get(1000); len(b) < 1000 {
		t.Errorf("a buffer of %d bytes", len(b))
	}
}
