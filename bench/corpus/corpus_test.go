package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
	"unicode/utf8"
)

// kinds are the streams under test.
var kinds = []struct {
	name   string
	write  func(w io.Writer, seed uint64, size int64) error
	digest string // of the first 300,000 bytes of seed 1
}{
	{"text mixed", func(w io.Writer, seed uint64, size int64) error { return Text(w, Mixed, seed, size) }, "af58f1a4b953c6db"},
	{"text go", func(w io.Writer, seed uint64, size int64) error { return Text(w, GoLike, seed, size) }, "07d53ceebe96e570"},
	{"sort", func(w io.Writer, seed uint64, size int64) error { return Records(w, false, seed, size) }, "2ee6d2c022279263"},
	{"skewed", func(w io.Writer, seed uint64, size int64) error { return Records(w, true, seed, size) }, "4e20dc01275e3ed6"},
	{"logs", Logs, "17582ab640a2dc54"},
}

func made(t testing.TB, write func(io.Writer, uint64, int64) error, seed uint64, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, seed, size); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A change of these digests makes earlier results incomparable: say so where they are published.
func TestGoldenDigests(t *testing.T) {
	for _, k := range kinds {
		sum := sha256.Sum256(made(t, k.write, 1, 300_000))
		if got := hex.EncodeToString(sum[:8]); got != k.digest {
			t.Errorf("%s: digest %s, want %s", k.name, got, k.digest)
		}
	}
}

func TestSizeSeedAndPrefix(t *testing.T) {
	for _, k := range kinds {
		long := made(t, k.write, 1, 200_000)
		for _, size := range []int64{0, 100, 1000, 99_900} {
			short := made(t, k.write, 1, size)
			if int64(len(short)) != size {
				t.Errorf("%s of %d bytes has %d", k.name, size, len(short))
			}
			whole := short[:bytes.LastIndexByte(bytes.TrimSuffix(short, []byte("\n")), '\n')+1]
			if !bytes.HasPrefix(long, whole) || size > 0 && short[size-1] != '\n' {
				t.Errorf("%s of %d bytes is no beginning of a longer one that ends with a line", k.name, size)
			}
		}
		if bytes.Equal(long[:100], made(t, k.write, 2, 200_000)[:100]) {
			t.Errorf("%s: seeds 1 and 2 begin alike", k.name)
		}
	}
}

// No window of 64 bytes that begins a line comes again: equal splits would be computed once.
func TestNothingRepeats(t *testing.T) {
	for _, k := range kinds {
		data := made(t, k.write, 5, 1<<20)
		if !utf8.Valid(data) {
			t.Errorf("%s is not UTF-8", k.name)
		}
		seen := map[string]bool{}
		for i := 0; i+64 < len(data); i += 1 + bytes.IndexByte(data[i:], '\n') {
			window := string(data[i : i+64])
			if seen[window] {
				t.Errorf("%s: repeats %q", k.name, window)
				break
			}
			seen[window] = true
		}
	}
}

func TestRecords(t *testing.T) {
	for _, skewed := range []bool{false, true} {
		var b bytes.Buffer
		if err := Records(&b, skewed, 1, 2_000_050); err != nil {
			t.Fatal(err)
		}
		prefixes := map[string]int{}
		for record := range slices.Chunk(b.Bytes(), RecordSize) {
			if bytes.IndexByte(record, '\n') != RecordSize-1 {
				t.Fatalf("record %q is not of %d bytes", record, RecordSize)
			}
			for _, c := range record[:10] {
				if c < '!' || c > '~' {
					t.Fatalf("key of record %q is not printable", record)
				}
			}
			prefixes[string(record[:7])]++
		}
		shared := 0
		for _, n := range prefixes {
			if n > 100 {
				shared += n
			}
		}
		if want := map[bool]int{true: 10_000}[skewed]; shared < want-500 || shared > want+500 {
			t.Errorf("skewed %t: %d of 20000 records share prefixes, want about %d", skewed, shared, want)
		}
	}
}

// Counts fall as Zipf's law says, and new words keep coming.
func TestTextIsZipfian(t *testing.T) {
	for _, c := range []struct {
		profile       Profile
		words         [2]int // of 1 MB
		distinctTenth [2]int // distinct words of each ten
	}{
		{Mixed, [2]int{100_000, 115_000}, [2]int{1, 3}},
		{GoLike, [2]int{125_000, 137_000}, [2]int{0, 1}},
	} {
		var b bytes.Buffer
		if err := Text(&b, c.profile, 1, 1e6); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		words := bytes.Fields(b.Bytes())
		for _, w := range words {
			counts[string(w)]++
		}
		if len(words) < c.words[0] || len(words) > c.words[1] {
			t.Errorf("%s: %d words", c.profile, len(words))
		}
		if tenth := len(counts) * 10 / len(words); tenth < c.distinctTenth[0] || tenth > c.distinctTenth[1] {
			t.Errorf("%s: %d of %d words are distinct", c.profile, len(counts), len(words))
		}
		for _, rank := range []int{60, 100, 300} {
			w, err := Word(c.profile, rank)
			if err != nil {
				t.Fatal(err)
			}
			if n, least := counts[w], len(words)/20/(rank+4); n < least || n > 12*least {
				t.Errorf("%s: word %d, %q, comes %d times, want at least %d and not many times that", c.profile, rank, w, n, least)
			}
		}
	}
}

func TestLogTimesGrow(t *testing.T) {
	var last time.Time
	for line := range bytes.Lines(made(t, Logs, 1, 500_000)) {
		_, rest, ok := bytes.Cut(line, []byte(" - - ["))
		if !ok {
			continue // the filler at the end
		}
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", string(rest[:26]))
		if err != nil || at.Before(last) {
			t.Fatalf("%s: time before that of the line before, or wrong: %v", line, err)
		}
		last = at
	}
	if !last.After(logStart) {
		t.Error("time stands still")
	}
}

func TestTree(t *testing.T) {
	dir := t.TempDir()
	total, err := Tree(dir, Mixed, 1, 301)
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	var sizes []int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		sizes = append(sizes, int64(len(b)))
		total -= int64(len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(sizes)
	if len(sizes) != 301 || total != 0 {
		t.Errorf("%d files, and %d bytes that are not there", len(sizes), total)
	}
	if median := sizes[150]; median < 3000 || median > 5500 {
		t.Errorf("median of sizes %d, want about 4096", median)
	}
	if got := hex.EncodeToString(h.Sum(nil)[:8]); got != "c97f57eabd021417" {
		t.Errorf("digest %s", got)
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			b.SetBytes(16 << 20)
			for b.Loop() {
				if err := k.write(io.Discard, 1, 16<<20); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
