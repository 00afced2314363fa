package mr_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// visits emits host, day → page; pages of a host come in order of days.
type visit = mr.Tuple2[string, mr.Desc[int]]

func visits(_ *mr.Task, line string, emit mr.Emit[visit, []byte]) error {
	var host, page string
	var day int
	if _, err := fmt.Sscan(line, &host, &day, &page); err != nil {
		return err
	}
	emit(mr.T2(host, mr.Desc[int]{Value: day}), []byte(page))
	return nil
}

const visitLog = "b 1 x\na 2 y\na 10 z\nb 3 w\na 2 v\nc 7 u\n"

func join(_ *mr.Task, first visit, pages iter.Seq[[]byte], emit mr.Emit[string, string]) error {
	var b strings.Builder
	for p := range pages {
		b.Write(p)
	}
	emit(first.A, fmt.Sprint(first.B.Value, b.String()))
	return nil
}

func TestSecondarySort(t *testing.T) {
	for name, c := range map[string]struct {
		opts []mr.Option
		want []pair
	}{
		"whole key": {[]mr.Option{mr.Reduce(join)},
			[]pair{{"a", "10z"}, {"a", "2yv"}, {"b", "3w"}, {"b", "1x"}, {"c", "7u"}}},
		"first": {[]mr.Option{mr.GroupFirst(1), mr.Reduce(join)},
			[]pair{{"a", "10zyv"}, {"b", "3wx"}, {"c", "7u"}}},
		"first, combined": {[]mr.Option{mr.GroupFirst(1), mr.Reduce(join), mr.Combine(func(a, b []byte) []byte { return append(a, b...) })},
			[]pair{{"a", "10zyv"}, {"b", "3wx"}, {"c", "7u"}}},
		"all": {[]mr.Option{mr.GroupAll(), mr.Reduce(join)},
			[]pair{{"a", "10zyvwxu"}}},
		"pairs": {[]mr.Option{mr.GroupFirst(1), mr.ReducePairs(func(_ *mr.Task, all iter.Seq2[visit, []byte], emit mr.Emit[string, mr.None]) error {
			var b strings.Builder
			for k, p := range all {
				fmt.Fprintf(&b, "%s%d%s ", k.A, k.B.Value, p)
			}
			emit(b.String(), mr.None{})
			return nil
		})}, []pair{{"a10z a2y a2v ", ""}, {"b3w b1x ", ""}, {"c7u ", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := configure(t, mr.Job("visits", append(c.opts, mr.Map(visits))...))
			recs, _ := runMap(t, p, visitLog)
			// A second run gives every key another record, in a task of its own.
			if got, _ := runReduce(t, p, recs); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// numbers maps "key number" lines.
func numbers(_ *mr.Task, line []byte, emit mr.Emit[[]byte, float64]) error {
	var k string
	var f float64
	if _, err := fmt.Sscan(string(line), &k, &f); err != nil {
		return err
	}
	emit([]byte(k), f)
	return nil
}

func reduceNumbers(t *testing.T, in string, f func(*mr.Task, []byte, iter.Seq[float64], mr.Emit[[]byte, float64]) error) ([]pair, error) {
	t.Helper()
	p := configure(t, mr.Job("numbers", mr.Map(numbers), mr.Reduce(f)))
	recs, _ := runMap(t, p, in)
	out := &sink{}
	_, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, out)
	return out.recs, err
}

const numberLines = "a 1\na 2\na 3\nb 4\nc 5\nc 6\n"

func TestReducersMayStopEarly(t *testing.T) {
	first := []pair{{"a", "1"}, {"b", "4"}, {"c", "5"}}
	for name, c := range map[string]struct {
		f    func(*mr.Task, []byte, iter.Seq[float64], mr.Emit[[]byte, float64]) error
		want []pair
	}{
		"break": {func(_ *mr.Task, k []byte, vs iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
			for v := range vs {
				emit(k, v)
				break
			}
			return nil
		}, first},
		"unread": {func(_ *mr.Task, k []byte, _ iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
			emit(k, 0)
			return nil
		}, []pair{{"a", "0"}, {"b", "0"}, {"c", "0"}}},
		"key after the values": {func(_ *mr.Task, k []byte, vs iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
			n := 0.0
			for range vs {
				n++
			}
			for range vs { // all are read already
				n += 100
			}
			emit(k, n)
			return nil
		}, []pair{{"a", "3"}, {"b", "1"}, {"c", "2"}}},
		"a key and its room are changed": {func(_ *mr.Task, k []byte, vs iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
			emit(k, 0)
			k[0] ^= 0x20
			for v := range vs {
				emit(append(k, '!'), v)
			}
			return nil
		}, []pair{{"a", "0"}, {"A!", "1"}, {"A!", "2"}, {"A!", "3"}, {"b", "0"}, {"B!", "4"}, {"c", "0"}, {"C!", "5"}, {"C!", "6"}}},
		"go on after a break": {func(_ *mr.Task, k []byte, vs iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
			for range vs {
				break
			}
			for v := range vs {
				emit(k, v)
			}
			return nil
		}, []pair{{"a", "2"}, {"a", "3"}, {"c", "6"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := reduceNumbers(t, numberLines, c.f)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
	var kept iter.Seq[float64]
	got, err := reduceNumbers(t, numberLines, func(_ *mr.Task, k []byte, vs iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
		next, stop := iter.Pull(vs)
		defer stop()
		v, _ := next()
		kept = vs
		emit(k, v)
		return nil
	})
	if err != nil || !slices.Equal(got, first) {
		t.Errorf("pulled: got %v, %v", got, err)
	}
	for v := range kept {
		t.Errorf("a kept iterator gave %v after its task", v)
	}
}

func TestReaderErrorFailsTheTask(t *testing.T) {
	p := configure(t, mr.Job("numbers", mr.Map(numbers), mr.Reduce(
		func(_ *mr.Task, k []byte, vs iter.Seq[float64], emit mr.Emit[[]byte, float64]) error {
			n := 0
			for range vs {
				n++
			}
			if n != 3 {
				return fmt.Errorf("only %d values", n)
			}
			return nil
		})))
	recs, _ := runMap(t, p, numberLines)
	for fail := 1; fail < len(recs); fail++ {
		_, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs, fail: fail}, &sink{})
		if fail <= 3 && (err == nil || err.Error() != "block 7 is damaged") {
			t.Errorf("damage at record %d: %v", fail, err)
		}
		if err == nil {
			t.Errorf("damage at record %d went unnoticed", fail)
		}
	}
	recs[1].v = "short"
	if _, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, &sink{}); err == nil || !strings.Contains(err.Error(), "not of the type") {
		t.Errorf("a bad value: %v", err)
	}
}

func TestReduceErrorNamesItsKey(t *testing.T) {
	_, err := reduceNumbers(t, numberLines, func(_ *mr.Task, k []byte, vs iter.Seq[float64], _ mr.Emit[[]byte, float64]) error {
		for range vs {
		}
		if k[0] == 'b' {
			return fmt.Errorf("not b")
		}
		return nil
	})
	if err == nil || err.Error() != `job numbers: reduce: key "b": not b` {
		t.Errorf("got %v", err)
	}
}

// A reducer sees one value a key if there is a combiner, whatever the map tasks and
// merges before it have combined.
func TestCombinedValuesAreOne(t *testing.T) {
	p := configure(t, mr.Job("wc", mr.Map(words), mr.Combine(mr.Sum[int64]),
		mr.Reduce(func(_ *mr.Task, w string, ns iter.Seq[int64], emit mr.Emit[string, string]) error {
			emit(w, fmt.Sprint(slices.Collect(ns)))
			return nil
		})))
	a, _ := runMap(t, p, "x y x")
	b, _ := runMap(t, p, "x z")
	c, _ := runMap(t, p, "z y x")
	want := []pair{{"x", "[4]"}, {"y", "[2]"}, {"z", "[2]"}}
	if got, _ := runReduce(t, p, merge(a, b, c)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	node := &sink{}
	cs, err := p.Combine(t.Context(), mr.TaskEnv{}, &reader{recs: merge(a, b)}, node)
	if err != nil || counter(cs, "combine_output_records") != 3 {
		t.Fatal(cs, err)
	}
	if got, _ := runReduce(t, p, merge(node.recs, c)); !slices.Equal(got, want) {
		t.Errorf("through a merge node: got %v, want %v", got, want)
	}
}

// A group is by the keys that were sorted, whatever its reducer does with the memory of those it is given.
func TestChangedKeysKeepTheirGroup(t *testing.T) {
	p := configure(t, mr.Job("visits", mr.Map(func(_ *mr.Task, l []byte, emit mr.Emit[mr.Tuple2[[]byte, []byte], int64]) error {
		emit(mr.T2(l[:1], l[1:]), 1)
		return nil
	}), mr.GroupFirst(1), mr.ReducePairs(func(_ *mr.Task, group iter.Seq2[mr.Tuple2[[]byte, []byte], int64], emit mr.Emit[[]byte, string]) error {
		var all []string
		var first []byte
		for k := range group {
			if first == nil {
				first = k.A
			}
			all = append(all, string(k.A)+string(k.B))
			k.A[0], k.B[0] = 'z', 'z'
		}
		emit(first, strings.Join(all, ","))
		return nil
	})))
	recs, _ := runMap(t, p, "a1\na2\na2\nb1\nb3")
	if got, _ := runReduce(t, p, recs); !slices.Equal(got, []pair{{"z", "a1,a2,a2"}, {"z", "b1,b3"}}) {
		t.Errorf("got %v", got)
	}
}

// Inner folds are by whole keys even where the reducer groups by a prefix.
func TestCombineIgnoresGroups(t *testing.T) {
	p := configure(t, mr.Job("visits", mr.Map(visits), mr.GroupFirst(1), mr.Reduce(join),
		mr.Combine(func(a, b []byte) []byte { return append(a, b...) })))
	recs, _ := runMap(t, p, visitLog)
	node := &sink{}
	if _, err := p.Combine(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, node); err != nil || !slices.Equal(node.recs, recs) {
		t.Errorf("got %q, %v; want %q", node.recs, err, recs)
	}
}

type inverter struct{ lines int }

func (v *inverter) Map(line string, emit mr.Emit[string, int]) error {
	v.lines++
	emit(line, v.lines)
	return nil
}

func (v *inverter) Cleanup(emit mr.Emit[string, int]) error {
	emit("lines", v.lines)
	return nil
}

type closer struct{ closed *int }

func (c closer) Reduce(k string, ns iter.Seq[int], emit mr.Emit[string, int]) error {
	for n := range ns {
		emit(k, -n)
	}
	return nil
}

func (c closer) Cleanup() error { *c.closed++; return nil }

func TestSetupAndCleanup(t *testing.T) {
	closed := 0
	p := configure(t, mr.Job("j",
		mr.MapFrom(func(*mr.Task) (mr.Mapper[string, string, int], error) { return &inverter{}, nil }),
		mr.ReduceFrom(func(*mr.Task) (mr.Reducer[string, int, string, int], error) { return closer{&closed}, nil })))
	recs, _ := runMap(t, p, "b\na\n")
	got, _ := runReduce(t, p, recs)
	if want := []pair{{"a", "-2"}, {"b", "-1"}, {"lines", "-2"}}; !slices.Equal(got, want) || closed != 1 {
		t.Errorf("got %v, closed %d times", got, closed)
	}
}

type lateEmitter struct {
	emit mr.Emit[string, int]
}

func (l *lateEmitter) Reduce(k string, ns iter.Seq[int], emit mr.Emit[string, int]) error {
	l.emit = emit
	emit(k, 1)
	return nil
}

func (l *lateEmitter) Cleanup() error {
	if l.emit == nil {
		return errors.New("there was no key")
	}
	l.emit("last", 1)
	return nil
}

// What a reducer emitted after its last group would be in the output as often as there are ranges.
func TestReducersEmitInTheirGroups(t *testing.T) {
	p := configure(t, mr.Job("j",
		mr.MapFrom(func(*mr.Task) (mr.Mapper[string, string, int], error) { return &inverter{}, nil }),
		mr.ReduceFrom(func(*mr.Task) (mr.Reducer[string, int, string, int], error) { return &lateEmitter{}, nil })))
	recs, _ := runMap(t, p, "b\n")
	_, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, &sink{})
	if mr.KindOf(err) != mr.Usage || !strings.Contains(err.Error(), "emit was called after") {
		t.Errorf("got %v", err)
	}
	_, err = p.Reduce(t.Context(), mr.TaskEnv{}, &reader{}, &sink{})
	if want := "job j: reduce cleanup: before the first key: there was no key"; err == nil || err.Error() != want {
		t.Errorf("an empty range: got %v, want %s", err, want)
	}
}

// odd is a value whose methods fail at numbers below 0.
type odd struct{ n int }

func (o odd) AppendMR(dst []byte) []byte { return fmt.Append(dst, o.n) }

func (o *odd) DecodeMR(src []byte) (err error) {
	if o.n, err = strconv.Atoi(string(src)); o.n < -1 {
		return errors.New("less than -1")
	}
	return err
}

func (o odd) AppendText(dst []byte) ([]byte, error) {
	if o.n < 0 {
		return dst, errors.New("less than 0")
	}
	return o.AppendMR(dst), nil
}

// belated emits at the end of its task.
type belated struct{}

func (belated) Map(string, mr.Emit[string, odd]) error { return nil }

func (belated) Cleanup(emit mr.Emit[string, odd]) error {
	emit("end", odd{-1})
	return nil
}

// An error of a value's own methods names the method, and the record or key.
func TestErrorsOfValuesNameTheirPlace(t *testing.T) {
	mapper := mr.Map(func(_ *mr.Task, l string, emit mr.Emit[string, odd]) error {
		n, err := strconv.Atoi(l[1:])
		emit(l[:1], odd{n})
		return err
	})
	p := configure(t, mr.Job("shown", mapper))
	_, err := p.Map(t.Context(), mr.TaskEnv{}, &blocks{path: "in.txt", data: []byte("a1\nb-1\n"), size: 64}, &sink{})
	if want := "job shown: map: in.txt at byte 3: mr_test.odd.AppendText: less than 0"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	p = configure(t, mr.Job("late", mr.MapFrom(func(*mr.Task) (mr.Mapper[string, string, odd], error) { return belated{}, nil })))
	_, err = p.Map(t.Context(), mr.TaskEnv{}, &blocks{path: "in.txt", data: []byte("a1\nb2\n"), size: 64}, &sink{})
	if want := "job late: map cleanup: in.txt at byte 3: mr_test.odd.AppendText: less than 0"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	first := mr.Combine(func(a, b odd) odd { return a })
	each := mr.Reduce(func(_ *mr.Task, k string, vs iter.Seq[odd], emit mr.Emit[string, odd]) error {
		for v := range vs {
			emit(k, v)
		}
		return nil
	})
	for name, opts := range map[string][]mr.Option{"combined": {mapper, first}, "reduced": {mapper, each}, "passed": {mapper, mr.Pass[string, odd]()}} {
		p := configure(t, mr.Job(name, opts...))
		for text, want := range map[string]string{
			"a1\nb-1\nc1\n": `: reduce: key "b": mr_test.odd.AppendText: less than 0`,
			"a1\nb-2\nc1\n": `: reduce: key "b": mr_test.odd.DecodeMR: less than -1`,
		} {
			recs, _ := runMap(t, p, text)
			if _, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, &sink{}); err == nil || err.Error() != "job "+name+want {
				t.Errorf("got %v, want job %s%s", err, name, want)
			}
		}
	}
}

// shouted is a key that is encoded as a string is, and has a text of its own.
type shouted string

func (s shouted) AppendMR(dst []byte) []byte { return append(dst, s...) }
func (s *shouted) DecodeMR(src []byte) error { *s = shouted(src); return nil }
func (s shouted) AppendText(dst []byte) ([]byte, error) {
	return append(dst, strings.ToUpper(string(s))...), nil
}

func TestPassShowsKeysAsTheirTypeDoes(t *testing.T) {
	p := configure(t, mr.Job("loud", mr.Pass[shouted, string](), mr.Map(func(_ *mr.Task, l string, emit mr.Emit[shouted, string]) error {
		emit(shouted(l), l)
		return nil
	})))
	recs, _ := runMap(t, p, "b\na\n")
	out := &sink{}
	if _, err := p.Reduce(t.Context(), mr.TaskEnv{}, &reader{recs: recs}, out); err != nil {
		t.Fatal(err)
	}
	if want := []pair{{"A", "a"}, {"B", "b"}}; !slices.Equal(out.recs, want) {
		t.Errorf("got %q, want %q", out.recs, want)
	}
}
