package mr_test

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// loud is a string as a key, and has an encoding and a text of its own as a value.
type loud string

func (l loud) AppendMR(b []byte) []byte { return append(b, l...) }
func (l *loud) DecodeMR(b []byte) error { *l = loud(b); return nil }
func (l loud) AppendText(b []byte) ([]byte, error) {
	return append(b, strings.ToUpper(string(l))...), nil
}

type (
	name  string
	id    int64
	count int64
)

// job is one that emits keys of type K and values of type V.
func job[K, V any](opts ...mr.Option) *mr.Definition {
	return mr.Job("job", append(opts, mr.Map(func(*mr.Task, []byte, mr.Emit[K, V]) error { return nil }))...)
}

func TestTotalsAreOfJobsThatOnlyAddUp(t *testing.T) {
	sum := mr.Combine(mr.Sum[int64])
	for _, test := range []struct {
		name string
		job  *mr.Definition
		want string
	}{
		{"string", job[string, int64](sum), "1 bytes"},
		{"[]byte", job[[]byte, int64](sum), "1 bytes"},
		{"named string, int", job[name, int](mr.Combine(mr.Sum[int])), "1 bytes"},
		{"int64", job[int64, int64](sum), "1 int64"},
		{"named int64", job[id, int64](sum), "1 int64"},
		{"uint64", job[uint64, int64](sum), "1 uint64"},
		{"int32", job[int32, int64](sum), ""},
		{"float64", job[float64, int64](sum), ""},
		{"Desc", job[mr.Desc[int64], int64](sum), ""},
		{"tuple", job[mr.Tuple2[string, int64], int64](sum), ""},
		{"tuple of one that says something", job[mr.Tuple2[string, mr.None], int64](sum), "1 bytes"},
		{"a text of its own", job[loud, int64](sum), ""},
		{"values of another type", job[string, count](mr.Combine(mr.Sum[count])), ""},
		{"values of another size", job[string, int32](mr.Combine(mr.Sum[int32])), ""},
		{"floats", job[string, float64](mr.Combine(mr.Sum[float64])), ""},
		{"a reducer", job[string, int64](sum, mr.Reduce(func(*mr.Task, string, iter.Seq[int64], mr.Emit[string, int64]) error { return nil })), ""},
		{"Pass", job[string, int64](sum, mr.Pass[string, int64]()), ""},
		{"another combiner", job[string, int64](mr.Combine(mr.Max[int64])), ""},
		{"no combiner", job[string, int64](), ""},
	} {
		tr := configure(t, test.job).Traits()
		if tr.Totals != test.want {
			t.Errorf("%s: %q, want %q", test.name, tr.Totals, test.want)
		}
		if (mr.Totals(tr) != nil) != (test.want != "") {
			t.Errorf("%s: Totals does %q otherwise", test.name, tr.Totals)
		}
	}
	if mr.Totals(mr.Traits{Totals: "2 bytes"}) != nil {
		t.Error("Totals does what it doesn't know")
	}
}

// TestTotalsAreWhatTheJobMakes: records, counters and errors.
func TestTotalsAreWhatTheJobMakes(t *testing.T) {
	sum := mr.Combine(mr.Sum[int64])
	var words, numbers []pair
	add := func(to *[]pair, k string, ns ...int64) {
		for _, n := range ns {
			*to = append(*to, pair{k, string(varint(n))})
		}
	}
	add(&words, "", 1, -1)
	add(&words, "\x00\xff", math.MaxInt64, 1) // goes round
	add(&words, "a", 1)
	add(&words, "a\tb\n", 3, 4, 1<<40)
	for i, n := range []uint64{0, 1, 1 << 62, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64} {
		add(&numbers, string(be(n)), int64(i), 7)
	}
	for _, test := range []struct {
		job  *mr.Definition
		recs []pair
	}{
		{job[string, int64](sum), words},
		{job[[]byte, int](mr.Combine(mr.Sum[int])), words},
		{job[mr.Tuple2[name, mr.None], int64](sum), words},
		{job[id, int64](sum), numbers},
		{job[uint64, int](mr.Combine(mr.Sum[int])), numbers},
		{job[string, int64](sum), []pair{{"a", "\x02"}, {"b", ""}}},
		{job[uint64, int64](sum), []pair{{"short", "\x02"}}},
	} {
		p := configure(t, test.job)
		own := mr.Totals(p.Traits())
		if own == nil {
			t.Fatal("none of ours")
		}
		for stage, run := range map[string]func(*mr.Program, *sink) (mr.Counters, error){
			"reduce": func(p *mr.Program, out *sink) (mr.Counters, error) {
				return p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: test.recs}, out)
			},
			"combine": func(p *mr.Program, out *sink) (mr.Counters, error) {
				return p.Combine(t.Context(), mr.TaskEnv{}, &reader{recs: test.recs}, out)
			},
		} {
			var want, got sink
			wantCount, wantErr := run(p, &want)
			gotCount, gotErr := run(own, &got)
			if !slices.Equal(got.recs, want.recs) || !slices.Equal(gotCount, wantCount) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
				t.Errorf("%s of %q: %q, %v, %v; the job makes %q, %v, %v", stage, test.recs, got.recs, gotCount, gotErr, want.recs, wantCount, wantErr)
			}
		}
	}
}

func varint(n int64) []byte { return binary.AppendVarint(nil, n) }
func be(n uint64) []byte    { return binary.BigEndian.AppendUint64(nil, n) }
