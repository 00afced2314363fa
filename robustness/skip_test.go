package robustness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestSkippedRecordsSurvive kills the daemon under a job that skips bad records, in its maps and
// while its output is published: the output lacks just these, and they are saved and counted,
// once each. So they are by a second job for which nothing is mapped, and by a third one
// some of whose map outputs were lost.
func TestSkippedRecordsSurvive(t *testing.T) {
	t.Parallel()
	c := newCorpus(t, 15, 3, 300<<10)
	const choke = "w2"
	want, saved, bad := without(t, c, choke)
	if bad < 50 {
		t.Fatalf("%d bad records prove little", bad)
	}
	for _, point := range []string{"", "engine/publish-manifest", "engine/publish-success", "engine/before-committed"} {
		t.Run("killed at "+point, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := launch{store: filepath.Join(dir, "store"), env: []string{"MR_ODD=choke:" + choke}}
			first := l
			first.env = append(first.env, "MR_FAILPOINTS="+map[bool]string{true: "worker/split-read=sleep:30ms", false: point + "=kill"}[point == ""])
			spec := oddSpec(t, c, filepath.Join(dir, "out0"))
			spec.SplitSize, spec.SkipBadRecords = 80<<10, bad
			d := start(t, first)
			cl := d.client()
			id := submit(t, cl, "skips", spec)
			if point == "" {
				until(t, cl, id, "half of the maps", func(s mr.Status) bool { return 2*s.Map.Run > s.Map.Tasks })
				d.kill()
			} else {
				d.ended(20 * time.Second)
			}
			d = start(t, l)
			cl = d.client()
			check := func(s mr.Status) {
				t.Helper()
				if got, _ := parts(t, s.Output); !bytes.Equal(got, want) {
					t.Errorf("%s differs", s.Output)
				}
				if got, err := os.ReadFile(filepath.Join(s.Output, "_skipped", "records.jsonl")); err != nil || string(got) != saved {
					t.Errorf("%s: skipped are\n%.2000s\n%v, want\n%.2000s", s.Output, got, err, saved)
				}
				if n, m := counter(s, "skipped_records"), counter(s, "map_input_records"); n != int64(bad) || m != int64(c.lines) {
					t.Errorf("%s: %d were skipped of %d, want %d of %d", s.Output, n, m, bad, c.lines)
				}
				if text := strings.Join(s.Warnings, "\n"); strings.Count(text, fmt.Sprintf("SKIPPED %d bad records", bad)) != 1 {
					t.Errorf("%s: warnings %q", s.Output, text)
				}
			}
			check(succeed(t, cl, id))
			spec.Output, spec.Reducers, spec.SkipBadRecords = filepath.Join(dir, "out1"), 5, bad+1
			s := succeed(t, cl, submit(t, cl, "again", spec))
			check(s)
			if s.Map.Run > 0 {
				t.Errorf("%+v", s.Map)
			}
			spec.Output, spec.SkipBadRecords = filepath.Join(dir, "out2"), bad-1
			if s := wait(t, cl, submit(t, cl, "fewer", spec)); s.State != mr.FailedJob || !strings.Contains(s.Error, fmt.Sprintf("number %d is", bad)) {
				t.Errorf("with one less than there are it is %s: %s", s.State, s.Error)
			}
			d.kill()
			volumes, _ := filepath.Glob(filepath.Join(d.store, "volumes", "*.db"))
			for _, v := range volumes {
				if err := os.Remove(v); err != nil {
					t.Fatal(err)
				}
			}
			cl = start(t, l).client()
			spec.Output, spec.SkipBadRecords, spec.Reducers, spec.OutputFormat = filepath.Join(dir, "out3"), bad, 7, "text"
			s = succeed(t, cl, submit(t, cl, "lost", spec))
			check(s)
			if s.Map.Run == 0 {
				t.Errorf("no map output was lost: %+v", s.Map)
			}
		})
	}
}

// without counts the words of a corpus but for lines that begin with choke, and makes the
// file of those.
func without(t *testing.T, c *corpus, choke string) (counts []byte, saved string, bad int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		off := 0
		for line := range strings.Lines(string(b)) {
			text := strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(text, choke) {
				bad++
				quoted, err := json.Marshal(text)
				if err != nil {
					t.Fatal(err)
				}
				saved += fmt.Sprintf(`{"file":%q,"offset":%d,"length":%d,"reason":"panic: choked (main.go:%d)","record":%s}`+"\n", f, off, len(text), panicLine(t), quoted)
			} else {
				for _, w := range strings.Fields(text) {
					n[w]++
				}
			}
			off += len(line)
		}
	}
	var b bytes.Buffer
	for _, w := range slices.Sorted(maps.Keys(n)) {
		fmt.Fprintf(&b, "%s\t%d\n", w, n[w])
	}
	return b.Bytes(), saved, bad
}

// panicLine is where the job's source panics.
func panicLine(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("testdata/odd/main.go")
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(b), `panic("choked")`)
	if !found {
		t.Fatal("the job does not choke")
	}
	return strings.Count(before, "\n") + 1
}
