package builtin

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// naiveIndex is the output of index without flags.
func naiveIndex(docs []doc) string {
	in := map[string]map[string]bool{}
	for _, d := range docs {
		for w := range strings.FieldsSeq(d.text) {
			if in[w] == nil {
				in[w] = map[string]bool{}
			}
			in[w][d.path] = true
		}
	}
	var b strings.Builder
	for _, w := range slices.Sorted(maps.Keys(in)) {
		paths := slices.Sorted(maps.Keys(in[w]))
		fmt.Fprintf(&b, "%s\t%d %s\n", w, len(paths), strings.Join(paths, ","))
	}
	return b.String()
}

// mapTogether maps all documents in one task, in blocks of about size bytes.
func mapTogether(t *testing.T, docs []doc, size int) recs {
	t.Helper()
	d, _ := Lookup()("index")
	p, err := d.Configure(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out recs
	if _, err := p.Map(t.Context(), mr.TaskEnv{SpillDir: t.TempDir(), Memory: 1 << 20}, &feed{docs: docs, size: size}, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func reduceAll(t *testing.T, tasks ...recs) string {
	t.Helper()
	d, _ := Lookup()("index")
	p, err := d.Configure(nil)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.Concat(tasks...)
	slices.SortStableFunc(all, func(a, b rec) int { return strings.Compare(a.k, b.k) })
	var out recs
	if _, err := p.Reduce(t.Context(), mr.TaskEnv{}, &all, &out); err != nil {
		t.Fatal(err)
	}
	return render(p.Traits(), mr.Format{}, out)
}

// manyDocs have words of all lengths, and paths that share much, little, and all of another.
func manyDocs() []doc {
	rng := rand.New(rand.NewPCG(3, 4))
	docs := make([]doc, 300)
	for i := range docs {
		var b strings.Builder
		for range rng.IntN(40) {
			n := rng.IntN(300)
			fmt.Fprintf(&b, "%s%d%c", strings.Repeat("x\x00", n%20), n, " \n\t\r"[n%4])
		}
		docs[i] = doc{fmt.Sprintf("%s/%03d", strings.Repeat("d", i%7*30), i%210), b.String()}
	}
	slices.SortStableFunc(docs, func(a, b doc) int { return strings.Compare(a.path, b.path) })
	return docs
}

func TestIndexOfManyDocuments(t *testing.T) {
	docs := manyDocs()
	want := naiveIndex(docs)
	equal(t, reduceAll(t, mapTogether(t, docs, 1000)), want)
	// In two tasks that share a document, in any order.
	equal(t, reduceAll(t, mapTogether(t, docs[:101], 50), mapTogether(t, docs[100:], 50)), want)
	equal(t, reduceAll(t, mapTogether(t, docs[100:], 50), mapTogether(t, docs[:101], 50)), want)
	// In no order within a task.
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	equal(t, reduceAll(t, mapTogether(t, docs, 50)), want)
}

// TestFullPostings has each bound reached. What a task makes must not depend on how its
// input comes.
func TestFullPostings(t *testing.T) {
	many := func(n, step int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i*step)
		}
		return b.String()
	}
	same := many(5000, 1, "%d\n")
	var notes, paths []doc
	for i := range notedMost/5000 + 10 {
		notes = append(notes, doc{fmt.Sprintf("%05d", i), same})
	}
	for i := range 1500 {
		paths = append(paths, doc{fmt.Sprintf("%s%05d", strings.Repeat("p", 4000), i), fmt.Sprint("w", i%3)})
	}
	for name, docs := range map[string][]doc{
		"words": {{"a", many(wordsMost+5000, 3, "%d\n")}, {"b", many(100, 3, "%d ")}},
		"text":  {{"a", many(3000, 1, strings.Repeat("longer", 400)+"%d\n")}, {"b", many(10, 1, strings.Repeat("longer", 400)+"%d ")}},
		"notes": notes,
		"paths": paths,
	} {
		t.Run(name, func(t *testing.T) {
			out := mapTogether(t, docs, 1<<20)
			keys := map[string]bool{}
			for _, r := range out {
				keys[r.k] = true
			}
			if len(out) == len(keys) {
				t.Errorf("%d records: nothing was emitted before the end", len(out))
			}
			if !slices.Equal(out, mapTogether(t, docs, 3000)) {
				t.Error("other blocks, other records")
			}
			equal(t, reduceAll(t, out), naiveIndex(docs))
		})
	}
}

// FuzzPaths checks that no list of paths, however damaged, does harm, and that lists are
// read as they were written.
func FuzzPaths(f *testing.F) {
	f.Add([]byte("\x00\x03a/b\x02\x01c"), []byte("x,y\nxy"))
	f.Add([]byte("\x00\x01a\x00\x01a\x02\x00"), []byte{0xff, 0x80, 0x80})
	f.Add(bytes.Repeat([]byte{0x80, 0x01}, 200), bytes.Repeat([]byte("long\n"), 100))
	f.Fuzz(func(t *testing.T, list, text []byte) {
		var l pathLine
		for range 2 {
			l.reset()
			err := l.add(list)
			if err == nil {
				err = l.add(list)
			}
			if err == nil && len(l.ends) > 0 {
				l.finish()
			}
		}
		paths := bytes.Split(text, []byte("\n"))
		slices.SortFunc(paths, bytes.Compare)
		paths = slices.CompactFunc(paths, bytes.Equal)
		l.reset()
		var coded, before []byte
		for i, p := range paths {
			if coded = appendPath(coded, before, p); i == len(paths)/2 { // another list, which begins with the last path
				if err := l.add(coded); err != nil {
					t.Fatal(err)
				}
				coded = appendPath(coded[:0], nil, p)
			}
			before = p
		}
		if err := l.add(coded); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%d %s", len(paths), bytes.Join(paths, []byte(","))); string(l.finish()) != want {
			t.Fatalf("%q, want %q", l.finish(), want)
		}
	})
}
