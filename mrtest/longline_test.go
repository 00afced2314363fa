package mrtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr/builtin"
	"github.com/mrd-io/mr/mrtest"
)

// A job that skips long lines does not read one that begins in a split to its end. What it has
// read is not what the stamps of the file vouch for: not for other jobs, nor are theirs for it.
func TestLongLinesThatAreSkippedAreNotTheirFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	whole, half, other := filepath.Join(dir, "whole"), filepath.Join(dir, "half"), filepath.Join(dir, "other")
	text := strings.Repeat("short\n", 600) + strings.Repeat("long ", 10_000) + "\n" + strings.Repeat("short\n", 600)
	for name, data := range map[string]string{whole: text, half: text[:8192], other: text} { // 8192: as far as the line is read to see that it is long
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(quiet)
	m := mrtest.New(t, builtin.Jobs()...)
	plain := mrtest.Options{SplitSize: 4096}
	skips := mrtest.Options{SplitSize: 4096, RecordLimit: 1000, SkipBad: 1}
	for _, c := range []struct {
		name, file string
		o          mrtest.Options
		want       string
	}{
		{"skipping", whole, skips, "short\t1200\n"},
		{"the half", half, plain, "lo\t1\nlong\t918\nshort\t600\n"},
		{"all", whole, plain, "long\t10000\nshort\t1200\n"},
		{"all of the other", other, plain, "long\t10000\nshort\t1200\n"},
		{"skipping in the other", other, skips, "short\t1200\n"},
		{"skipping again", whole, skips, "short\t1200\n"},
		{"all again", whole, plain, "long\t10000\nshort\t1200\n"},
	} {
		r, err := m.TryOn("wordcount", []string{c.file}, c.o)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if r.Output != c.want {
			t.Errorf("%s: %q, want %q", c.name, r.Output, c.want)
		}
		for _, w := range r.Status.Warnings {
			if !strings.Contains(w, "SKIPPED") {
				t.Errorf("%s: warning %q", c.name, w)
			}
		}
		if again := strings.HasSuffix(c.name, "again"); again && (r.Status.Map.Run != 0 || r.Status.Bytes.Read != 0) {
			t.Errorf("%s: %d maps ran, %d bytes were read", c.name, r.Status.Map.Run, r.Status.Bytes.Read)
		}
	}
}
