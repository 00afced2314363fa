package collect

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// pairs is a Cursor over records in memory. It overwrites what it handed out, as
// Cursors may.
type pairs struct {
	recs       [][2]string
	err        error
	key, value []byte
}

func (p *pairs) Next() bool {
	for _, b := range [][]byte{p.key, p.value} {
		for i := range b {
			b[i] = '!'
		}
	}
	if len(p.recs) == 0 {
		return false
	}
	p.key, p.value = append(p.key[:0], p.recs[0][0]...), append(p.value[:0], p.recs[0][1]...)
	p.recs = p.recs[1:]
	return true
}

func (p *pairs) Key() []byte   { return p.key }
func (p *pairs) Value() []byte { return p.value }
func (p *pairs) Err() error    { return p.err }

// checkMerge merges rows of sorted records and compares with a stable sort.
func checkMerge(t *testing.T, rows [][][2]string) {
	t.Helper()
	var want [][2]string
	var cs []Cursor
	for _, r := range rows {
		want = append(want, r...)
		cs = append(cs, &pairs{recs: r})
	}
	slices.SortStableFunc(want, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	m := Merge(cs)
	var got [][2]string
	for m.Next() {
		got = append(got, [2]string{string(m.Key()), string(m.Value())})
	}
	if m.Err() != nil || m.Next() {
		t.Fatalf("error %v, or records behind the end", m.Err())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("merge of %q is %q, want %q", rows, got, want)
	}
}

func TestMerge(t *testing.T) {
	hostile := []string{"", "\x00", "\x00\x00", "a", "a\x00", "aaaaaaaa", "aaaaaaaa\x00", "aaaaaaaab", "aaaaaaaabb", "\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"}
	for n := range 12 {
		var rows [][][2]string
		for i := range n {
			var row [][2]string
			for j, k := range hostile {
				if (i*7+j*3)%4 != 0 {
					row = append(row, [2]string{k, strings.Repeat("v", i+1)})
				}
			}
			rows = append(rows, row)
		}
		checkMerge(t, rows)
	}
}

func TestMergeStopsAtAnError(t *testing.T) {
	broken := errors.New("broken")
	for n := 1; n < 6; n++ {
		for bad := range n {
			var cs []Cursor
			for i := range n {
				p := &pairs{recs: [][2]string{{"a", ""}, {"c", ""}}}
				if i == bad {
					p = &pairs{recs: [][2]string{{"b", ""}}, err: broken}
				}
				cs = append(cs, p)
			}
			m := Merge(cs)
			records := 0
			for m.Next() {
				records++
			}
			if m.Err() != broken || records != n {
				t.Errorf("%d cursors, number %d breaks: %d records, error %v", n, bad, records, m.Err())
			}
		}
	}
}

// FuzzMerge reads rows of keys out of data: rows end at 0x01, keys at 0x02.
func FuzzMerge(f *testing.F) {
	f.Add([]byte("a\x02b\x01a\x02\x02c\x01"))
	f.Add([]byte("\x00\x02\x00\x00\x01\x01\x00\x02aaaaaaaa\x02aaaaaaaab\x01\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4096 {
			return
		}
		var rows [][][2]string
		for i, row := range bytes.Split(data, []byte{1}) {
			var recs [][2]string
			for j, k := range bytes.Split(row, []byte{2}) {
				recs = append(recs, [2]string{string(k), string(rune('a'+i)) + string(rune('a'+j))})
			}
			slices.SortStableFunc(recs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
			rows = append(rows, recs)
		}
		checkMerge(t, rows)
	})
}

func TestMergeOfManySegments(t *testing.T) {
	// More segments than are merged at once, so that they are merged in rounds.
	b := NewBuffer(Options{Memory: 1, Dir: t.TempDir()})
	const n = 250000
	for i := range n {
		b.Add([]byte{byte(i % 3)}, []byte{byte(i >> 16), byte(i >> 8), byte(i)})
	}
	if len(b.segs) <= minFanIn*minFanIn {
		t.Fatalf("%d segments need no second round", len(b.segs))
	}
	var got list
	if err := b.Drain(&got); err != nil {
		t.Fatal(err)
	}
	if len(got.keys) != n {
		t.Fatalf("%d records, want %d", len(got.keys), n)
	}
	for i := 1; i < n; i++ {
		if got.keys[i] < got.keys[i-1] || got.keys[i] == got.keys[i-1] && got.values[i] <= got.values[i-1] {
			t.Fatalf("record %d is out of order", i)
		}
	}
}
