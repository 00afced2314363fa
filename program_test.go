package mr_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// pair is a record as the tests keep it.
type pair struct{ k, v string }

// blocks serves a text in blocks of at most size bytes, cut at line ends.
type blocks struct {
	path string
	data []byte
	size int
	off  int64
}

func (b *blocks) Next() (mr.Block, error) {
	if len(b.data) == 0 {
		return mr.Block{}, io.EOF
	}
	n := len(b.data)
	if b.size > 0 && n > b.size {
		if i := bytes.LastIndexByte(b.data[:b.size], '\n'); i >= 0 {
			n = i + 1
		} else if i := bytes.IndexByte(b.data, '\n'); i >= 0 {
			n = i + 1
		}
	}
	// A copy that is overwritten later shows who keeps what it may not.
	block := mr.Block{Data: bytes.Clone(b.data[:n]), Path: b.path, Off: b.off, Last: n == len(b.data)}
	b.data, b.off = b.data[n:], b.off+int64(n)
	return block, nil
}

type sink struct{ recs []pair }

func (s *sink) Record(k, v []byte) error {
	s.recs = append(s.recs, pair{string(k), string(v)})
	return nil
}

// reader serves records from one buffer that is overwritten with each.
type reader struct {
	recs []pair
	buf  []byte
	i    int
	fail int // fails at this record; 0: never
}

func (r *reader) Next() ([]byte, []byte, error) {
	if r.fail > 0 && r.i == r.fail {
		return nil, nil, fmt.Errorf("block 7 is damaged")
	}
	if r.i == len(r.recs) {
		return nil, nil, io.EOF
	}
	p := r.recs[r.i]
	r.i++
	for i := range r.buf {
		r.buf[i] = '#'
	}
	r.buf = append(append(r.buf[:0], p.k...), p.v...)
	return r.buf[:len(p.k):len(p.k)], r.buf[len(p.k):], nil
}

func configure(t testing.TB, d *mr.Definition, args ...string) *mr.Program {
	t.Helper()
	p, err := d.Configure(args)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func runMap(t testing.TB, p *mr.Program, text string) ([]pair, mr.Counters) {
	t.Helper()
	out := &sink{}
	cs, err := p.Map(t.Context(), mr.TaskEnv{SpillDir: t.TempDir()}, &blocks{path: "in.txt", data: []byte(text), size: 64}, out)
	if err != nil {
		t.Fatal(err)
	}
	return out.recs, cs
}

func runReduce(t testing.TB, p *mr.Program, recs []pair) ([]pair, mr.Counters) {
	t.Helper()
	out := &sink{}
	cs, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, out)
	if err != nil {
		t.Fatal(err)
	}
	return out.recs, cs
}

// merge is a stable merge of map outputs by key bytes.
func merge(runs ...[]pair) []pair {
	all := slices.Concat(runs...)
	slices.SortStableFunc(all, func(a, b pair) int { return strings.Compare(a.k, b.k) })
	return all
}

func counter(cs mr.Counters, name string) int64 {
	for _, c := range cs {
		if c.Group == "mr" && c.Name == name {
			return c.Value
		}
	}
	return -1
}

func words(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
	for w := range strings.FieldsSeq(line) {
		emit(w, 1)
	}
	return nil
}

func sumUp(t *mr.Task, word string, counts iter.Seq[int64], emit mr.Emit[string, int64]) error {
	var n int64
	for c := range counts {
		n += c
	}
	emit(word, n)
	return nil
}

const text = "the quick brown fox\njumps over the lazy dog\r\n\nthe end"

func TestWordCountEachWay(t *testing.T) {
	want := []pair{{"brown", "1"}, {"dog", "1"}, {"end", "1"}, {"fox", "1"}, {"jumps", "1"},
		{"lazy", "1"}, {"over", "1"}, {"quick", "1"}, {"the", "3"}}
	for name, opts := range map[string][]mr.Option{
		"reduce":             {mr.Map(words), mr.Reduce(sumUp)},
		"combine":            {mr.Map(words), mr.Combine(mr.Sum[int64])},
		"combine and reduce": {mr.Map(words), mr.Combine(mr.Sum[int64]), mr.Reduce(sumUp)},
	} {
		t.Run(name, func(t *testing.T) {
			p := configure(t, mr.Job("wc", opts...))
			a, cs := runMap(t, p, text)
			b, _ := runMap(t, p, "a dog\n")
			if got := counter(cs, "map_input_records"); got != 4 {
				t.Errorf("map_input_records = %d, want 4", got)
			}
			if got := counter(cs, "map_output_records"); got != 11 {
				t.Errorf("map_output_records = %d, want 11", got)
			}
			got, _ := runReduce(t, p, a)
			if !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
			got, cs = runReduce(t, p, merge(a, b))
			if i := slices.Index(got, pair{"dog", "2"}); i != 2 {
				t.Errorf("two runs: got %v", got)
			}
			if n := counter(cs, "reduce_input_groups"); n != 10 {
				t.Errorf("reduce_input_groups = %d, want 10", n)
			}
		})
	}
}

func TestMapOnlyKeepsEmissionOrder(t *testing.T) {
	p := configure(t, mr.Job("echo", mr.Map(func(_ *mr.Task, line []byte, emit mr.Emit[mr.None, []byte]) error {
		emit(mr.None{}, line)
		return nil
	})))
	got, _ := runMap(t, p, "b\r\na\nc\r")
	if want := []pair{{"", "b"}, {"", "a"}, {"", "c\r"}}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if tr := p.Traits(); tr.Reduce || !tr.NoKey || tr.NoValue {
		t.Errorf("traits %+v", tr)
	}
}

func TestFlags(t *testing.T) {
	d := mr.JobFunc("head", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		n := fs.Int("n", 3, "how many")
		up := fs.Bool("upper", false, "in capitals")
		return func(args []string) ([]mr.Option, error) {
			return []mr.Option{
				mr.ReduceOnly("n"),
				mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
					if *up {
						line = strings.ToUpper(line)
					}
					emit(line, fmt.Sprint(*n, args))
					return nil
				}),
				mr.Reduce(func(_ *mr.Task, k string, vs iter.Seq[string], emit mr.Emit[string, string]) error {
					for v := range vs {
						emit(k, fmt.Sprint(*n, " ", v))
					}
					return nil
				}),
			}, nil
		}
	})
	p := configure(t, d, "x", "--n", "7", "-upper", "--", "-y")
	want := []mr.Param{{"--n", "7", true}, {"--upper", "true", false}, {"arg0", "x", false}, {"arg1", "-y", false}}
	if got := p.Traits().Params; !slices.Equal(got, want) {
		t.Errorf("params %v, want %v", got, want)
	}
	recs, _ := runMap(t, p, "a\n")
	got, _ := runReduce(t, p, recs)
	if want := []pair{{"A", "7 3 [x -y]"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, args := range [][]string{{"--nope"}, {"--n"}, {"--n=x"}, {"--help"}} {
		if _, err := d.Configure(args); mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), "how many") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// Map tasks run without the flags that are ReduceOnly: what these decide must not be how map outputs look.
func TestReduceOnlyFlagsLeaveMapOutputsAlone(t *testing.T) {
	lengths := func(_ *mr.Task, line string, emit mr.Emit[int64, int64]) error { emit(1, int64(len(line))); return nil }
	byWord, reduce, sum := mr.Map(words), mr.Reduce(sumUp), mr.Combine(mr.Sum[int64])
	for name, c := range map[string]struct {
		without, with []mr.Option
		want          string // of the error; "": none
	}{
		"a reducer":            {[]mr.Option{byWord}, []mr.Option{byWord, reduce}, "whether there is a reducer"},
		"a combiner alone":     {[]mr.Option{byWord}, []mr.Option{byWord, sum}, "whether there is a reducer"},
		"no reducer":           {[]mr.Option{byWord, reduce}, []mr.Option{byWord}, "whether there is a reducer"},
		"no combiner":          {[]mr.Option{byWord, sum}, []mr.Option{byWord, reduce}, "that there is no combiner"},
		"another type of keys": {[]mr.Option{mr.Map(lengths), sum}, []mr.Option{byWord, sum}, "keys (int64 or string)"},
		"a combiner beside":    {[]mr.Option{byWord, reduce}, []mr.Option{byWord, sum, reduce}, ""},
		"another reducer":      {[]mr.Option{byWord, sum, reduce}, []mr.Option{byWord, sum}, ""},
	} {
		d := mr.JobFunc("j", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
			on := fs.Bool("on", false, "")
			return func([]string) ([]mr.Option, error) {
				opts := c.without
				if *on {
					opts = c.with
				}
				return append([]mr.Option{mr.ReduceOnly("on")}, opts...), nil
			}
		})
		_, err := d.Configure([]string{"--on"})
		if c.want == "" && err != nil || c.want != "" && (mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ruleFlags declares flags that share a list, as include and exclude would.
func ruleFlags(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
	var rules []string
	n := fs.Int("n", 1, "how many")
	fs.Int("m", 2, "how many more")
	for _, name := range []string{"include", "exclude"} {
		fs.Func(name, "a rule", func(s string) error {
			rules = append(rules, fmt.Sprint(name, " ", *n, s))
			return nil
		})
	}
	return func([]string) ([]mr.Option, error) {
		return []mr.Option{mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
			emit(line, fmt.Sprint(rules, *n))
			return nil
		})}, nil
	}
}

// What flags of an author's own types do depends on the order in which flags are given, also
// such of other names and types.
func TestOrderOfFlagsIsInTheParams(t *testing.T) {
	byParams := map[string]string{}
	for _, args := range [][]string{
		{"--include", "a", "--exclude", "b"}, {"--exclude", "b", "--include", "a"},
		{"--n", "7", "--include", "a"}, {"--include", "a", "--n", "7"}, {"--n", "7", "--include", "a", "--n", "1"},
		{"--include", "a"}, {"--n=1", "--include", "a"},
		{"--n", "7", "--m", "3"}, {"--m", "3", "--n", "7"}, {"--m", "3", "--n", "5", "--n", "7"},
	} {
		p := configure(t, mr.JobFunc("rules", ruleFlags), args...)
		recs, _ := runMap(t, p, "a\n")
		params, made := fmt.Sprint(p.Traits().Params), fmt.Sprint(recs)
		if was, ok := byParams[params]; ok && was != made {
			t.Errorf("%v made %s, and with the same parameters %s was made", args, made, was)
		}
		byParams[params] = made
		var again []string
		for _, p := range p.Traits().Params {
			again = append(again, p.Name+"="+p.Value)
		}
		q := configure(t, mr.JobFunc("rules", ruleFlags), again...)
		if recs, _ := runMap(t, q, "a\n"); fmt.Sprint(recs) != made {
			t.Errorf("%v made %s, and with what its parameters say %v", args, made, recs)
		}
	}
	if len(byParams) != 7 {
		t.Errorf("%d lists of parameters, and the flags of package flag in another order should make none: %v", len(byParams), byParams)
	}
}

// named has a field beside its Desc: a key that did without it would make one group of many.
type named struct {
	mr.Desc[int]
	Name string
}

func TestTypesMustFit(t *testing.T) {
	none := func(*mr.Task, string, mr.Emit[string, int64]) error { return nil }
	cases := map[string][]mr.Option{
		"emits values of type int64, but Combine folds int": {mr.Map(words), mr.Combine(mr.Sum[int])},
		"emits keys of type string, but Reduce takes keys of type []uint8": {mr.Map(words),
			mr.Reduce(func(*mr.Task, []byte, iter.Seq[int64], mr.Emit[string, string]) error { return nil })},
		"emits values of type int64, but Reduce takes values of type float64": {mr.Map(words),
			mr.Reduce(func(*mr.Task, string, iter.Seq[float64], mr.Emit[string, string]) error { return nil })},
		"no mapper":         {mr.Combine(mr.Sum[int])},
		"more than one Map": {mr.Map(words), mr.Map(none)},
		"type chan int can't be a value": {
			mr.Map(func(*mr.Task, string, mr.Emit[string, chan int]) error { return nil })},
		"type *int can't be a key": {
			mr.Map(func(*mr.Task, string, mr.Emit[*int, string]) error { return nil })},
		"type *mr.Tuple2[string,int] can't be a key": {
			mr.Map(func(*mr.Task, string, mr.Emit[*mr.Tuple2[string, int], string]) error { return nil })},
		"type *mr.Desc[int] can't be a value": {
			mr.Map(func(*mr.Task, string, mr.Emit[int, *mr.Desc[int]]) error { return nil })},
		"type mr_test.named can't be a key": {
			mr.Map(func(*mr.Task, string, mr.Emit[named, string]) error { return nil })},
		"GroupFirst(3): keys of type mr.Tuple2[string,int] have 2": {mr.GroupFirst(3),
			mr.Map(func(*mr.Task, string, mr.Emit[mr.Tuple2[string, int], int]) error { return nil }),
			mr.Reduce(func(*mr.Task, mr.Tuple2[string, int], iter.Seq[int], mr.Emit[int, int]) error { return nil })},
		"GroupFirst and GroupAll need a reducer":  {mr.Map(words), mr.GroupAll()},
		"GroupFirst with less than one component": {mr.Map(words), mr.Reduce(sumUp), mr.GroupFirst(0)},
		"Map without a function":                  {mr.Map[string, string, int64](nil)},
		"Combine without a function":              {mr.Map(words), mr.Combine[int64](nil)},
		"Reduce without a function":               {mr.Map(words), mr.Reduce[string, int64, string, int64](nil)},
		"one of its options is nil":               {mr.Map(words), nil},
	}
	for want, opts := range cases {
		_, err := mr.Job("j", opts...).Configure(nil)
		if mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for _, d := range []*mr.Definition{
		mr.JobFunc("j", nil),
		mr.JobFunc("j", func(*flag.FlagSet) func([]string) ([]mr.Option, error) { return nil }),
	} {
		_, err := d.Configure(nil)
		if mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), "is nil") {
			t.Errorf("functions that are nil: %v", err)
		}
	}
}

func TestFailuresNameTheirPlace(t *testing.T) {
	emit1 := func(f func(*mr.Task, string) error) mr.Option {
		return mr.Map(func(t *mr.Task, line string, _ mr.Emit[string, int]) error { return f(t, line) })
	}
	for name, c := range map[string]struct {
		opt  mr.Option
		want []string
	}{
		"error":  {emit1(func(_ *mr.Task, l string) error { return bad(l) }), []string{"in.txt at byte 6", "no good"}},
		"panic":  {emit1(func(_ *mr.Task, l string) error { explode(l); return nil }), []string{"in.txt at byte 6", "boom", "explode"}},
		"goexit": {emit1(func(_ *mr.Task, l string) error { runtime.Goexit(); return nil }), []string{"in.txt at byte 0", "Goexit"}},
		"nil":    {emit1(func(_ *mr.Task, l string) error { panic(nil) }), []string{"in.txt at byte 0", "nil"}},
		"another's context": {emit1(func(_ *mr.Task, l string) error {
			return fmt.Errorf("looking %s up: %w", l, context.DeadlineExceeded)
		}), []string{"in.txt at byte 0", "looking first up: context deadline exceeded"}},
		"no path": {emit1(func(t *mr.Task, l string) error { t.Path(); return nil }), []string{"mr.Positions()"}},
		"the engine's counter": {emit1(func(t *mr.Task, l string) error { t.Count("mr", "map_input_records", 1); return nil }),
			[]string{"in.txt at byte 0", `the group "mr" is the engine's`}},
		"no mapper": {mr.MapFrom(func(*mr.Task) (mr.Mapper[string, string, int], error) { return nil, nil }),
			[]string{"neither a Mapper nor an error"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := configure(t, mr.Job("j", c.opt, mr.Combine(mr.Sum[int])))
			_, err := p.Map(t.Context(), mr.TaskEnv{}, &blocks{path: "in.txt", data: []byte("first\nsecond\n")}, &sink{})
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
			if strings.Contains(err.Error(), "mr.(*mapTask") {
				t.Errorf("the stack shows the engine: %v", err)
			}
		})
	}
}

func bad(l string) error {
	if l == "second" {
		return fmt.Errorf("no good")
	}
	return nil
}

func explode(l string) {
	if l == "second" {
		panic("boom")
	}
}

func TestPositions(t *testing.T) {
	p := configure(t, mr.Job("where", mr.Positions(), mr.Map(func(t *mr.Task, line string, emit mr.Emit[mr.Tuple2[string, int64], string]) error {
		emit(mr.T2(t.Path(), t.Offset()), line)
		return nil
	})))
	got, _ := runMap(t, p, "a\r\n\nbc\n"+strings.Repeat("x", 200)+"\nend")
	var at []string
	for _, r := range got {
		at = append(at, r.k)
	}
	if want := []string{"in.txt\t0", "in.txt\t3", "in.txt\t4", "in.txt\t7", "in.txt\t208"}; !slices.Equal(at, want) {
		t.Errorf("got %q, want %q", at, want)
	}
}

func TestCancelledTaskStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := configure(t, mr.Job("wc", mr.Map(words), mr.Combine(mr.Sum[int64])))
	if _, err := p.Map(ctx, mr.TaskEnv{}, &blocks{data: []byte(text)}, &sink{}); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

// What a goroutine emits that nobody waited for is not lost without a word.
func TestEmitAfterTheLastReturn(t *testing.T) {
	var late func()
	word := func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
		late = func() { emit(line, 1) }
		return nil
	}
	number := func(_ *mr.Task, line string, emit mr.Emit[int, string]) error {
		late = func() { emit(len(line), line) }
		return nil
	}
	for name, opts := range map[string][]mr.Option{
		"sorted":         {mr.Map(word), mr.Reduce(sumUp)},
		"combined":       {mr.Map(word), mr.Combine(mr.Sum[int64]), mr.Reduce(sumUp)},
		"combined, text": {mr.Map(number), mr.Combine(func(a, _ string) string { return a }), mr.Pass[int, string]()},
		"map only":       {mr.Map(word)},
	} {
		t.Run(name, func(t *testing.T) {
			runMap(t, configure(t, mr.Job("late", opts...)), "a\n")
			defer func() {
				if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "wait for every goroutine that emits") {
					t.Errorf("emit panicked with %v", err)
				}
			}()
			late()
		})
	}
}
