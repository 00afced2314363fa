package input

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// cpu reports the processor time of what follows, which other work on the machine does
// not stretch as it does the wall clock.
func cpu(b *testing.B) func() {
	now := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	begin := now()
	return func() { b.ReportMetric(float64(now()-begin)/1e6/float64(b.N), "cpu-ms/op") }
}

// benchTree makes n files of size bytes in folders of 100.
func benchTree(b *testing.B, n, size int) string {
	dir := b.TempDir()
	data := text(random(1), size, 60)[:size]
	for i := range n {
		path := filepath.Join(dir, fmt.Sprintf("%03d", i/100), fmt.Sprintf("file-%05d.txt", i))
		if i%100 == 0 {
			write(b, path, data)
		} else if err := os.WriteFile(path, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

func BenchmarkList50k(b *testing.B) {
	dir := benchTree(b, 50_000, 1)
	for _, pattern := range []string{dir, dir + "/**/*.txt"} {
		b.Run(filepath.Base(pattern), func(b *testing.B) {
			defer cpu(b)()
			for b.Loop() {
				if files, err := List(b.Context(), []string{pattern}); err != nil || len(files) != 50_000 {
					b.Fatal(len(files), err)
				}
			}
		})
	}
}

func BenchmarkPlan50k(b *testing.B) {
	files := smallFiles(1, 50_000, 4000)
	splits := mustPack(b, files, 0)
	b.Run("cut", func(b *testing.B) {
		for b.Loop() {
			mustPack(b, files, 0)
		}
	})
	b.Run("stampkeys", func(b *testing.B) {
		for b.Loop() {
			for _, s := range splits {
				s.StampKey(mr.Format{}, 0)
			}
		}
	})
	data := AppendSplits(nil, splits)
	b.Run("encode", func(b *testing.B) {
		b.ReportMetric(float64(len(data))/50_000, "B/file")
		for b.Loop() {
			data = AppendSplits(data[:0], splits)
		}
	})
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := DecodeSplits(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchLoad(b *testing.B, splits []Split, o Options) {
	var total int64
	for _, s := range splits {
		total += s.Bytes()
	}
	b.SetBytes(total)
	b.ReportAllocs()
	defer cpu(b)()
	for b.Loop() {
		for _, s := range splits {
			l, err := Load(context.Background(), s, o)
			if err != nil {
				b.Fatal(err)
			}
			r := l.Blocks(context.Background())
			for {
				if _, err := r.Next(); err != nil {
					break
				}
			}
			l.Close()
		}
	}
}

func BenchmarkLoadLarge(b *testing.B) {
	path := write(b, filepath.Join(b.TempDir(), "f"), text(random(1), 128<<20, 80))
	b.Run("memory", func(b *testing.B) { benchLoad(b, splitsOf(b, CutOptions{}, path), Options{}) })
	b.Run("recalled", func(b *testing.B) {
		known := mr.Digest{1}
		o := Options{FastKey: 1, Recall: func(Fast) (mr.Digest, bool) { return known, true }}
		benchLoad(b, splitsOf(b, CutOptions{}, path), o)
	})
	b.Run("streamed", func(b *testing.B) { benchLoad(b, splitsOf(b, CutOptions{SplitSize: 1 << 30}, path), Options{}) })
}

func BenchmarkLoadPacks(b *testing.B) {
	benchLoad(b, splitsOf(b, CutOptions{}, benchTree(b, 20_000, 4096)), Options{})
}

func BenchmarkLoadGzip(b *testing.B) {
	path := write(b, filepath.Join(b.TempDir(), "f"), gzipped(text(random(1), 16<<20, 80)))
	benchLoad(b, []Split{wholeSplit(b, path)}, Options{})
}

// BenchmarkContentCuts reads from the page cache; the rate is per byte of the file.
func BenchmarkContentCuts(b *testing.B) {
	for _, mean := range []int{20, 100, 1000} {
		b.Run(fmt.Sprintf("lines of %d", mean), func(b *testing.B) {
			path := write(b, filepath.Join(b.TempDir(), "f"), text(random(1), 256<<20, mean))
			files := list(b, path)
			b.SetBytes(files[0].Stamp.Size)
			defer cpu(b)()
			for b.Loop() {
				if _, err := Cut(b.Context(), files, CutOptions{Chunking: Content}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
