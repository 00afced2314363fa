package mr_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

// lines of which those that begin with "bad" or "boom" are not to be mapped; "late" is one that
// is found bad after all was emitted.
const picky = "a b\nbad one\nb c\nboom two\r\nlate x y\n\nc\nbad"

func pick(t *mr.Task, line string, emit func(string)) error {
	t.Count("own", "seen", 1)
	if line == "bad" {
		t.Count("own", "only bad", 1)
	}
	for w := range strings.FieldsSeq(line) {
		emit(w)
	}
	switch {
	case strings.HasPrefix(line, "boom"):
		panic("cannot stand " + line)
	case strings.HasPrefix(line, "bad"), strings.HasPrefix(line, "late"):
		return errors.New("not good")
	}
	return nil
}

func pickEach(t *mr.Task, line []byte, emit mr.Emit[[]byte, int64]) error {
	key := make([]byte, 0, 16) // used again for each pair, as authors may
	err := pick(t, string(line), func(w string) { emit(append(key[:0], w...), 1) })
	for i := range line {
		line[i] = '?' // as authors should not, and do
	}
	return err
}

func pickBlock(t *mr.Task, block []byte, emit mr.Emit[string, []byte]) error {
	defer clear(block)
	for _, line := range mr.Records(t.Format(), block) {
		if err := pick(t, string(line), func(w string) { emit(w, []byte("1")) }); err != nil {
			return err
		}
	}
	return nil
}

type picker struct{ t *mr.Task }

func (p picker) Map(line string, emit mr.Emit[string, int64]) error {
	return pick(p.t, line, func(w string) { emit(w, 1) })
}

func (p picker) Cleanup(emit mr.Emit[string, int64]) error {
	emit("end", 1)
	return nil
}

func TestSkippedRecordsLeaveNothing(t *testing.T) {
	sum := mr.Combine(mr.Sum[int64])
	withState := mr.MapFrom(func(t *mr.Task) (mr.Mapper[string, string, int64], error) { return picker{t}, nil })
	for name, c := range map[string]struct {
		job  *mr.Definition
		want []pair
	}{
		"table":    {mr.Job("j", mr.Map(pickEach), sum), []pair{{"a", "\x02"}, {"b", "\x04"}, {"c", "\x04"}}},
		"map-only": {mr.Job("j", mr.Map(pickEach)), []pair{{"a", "1"}, {"b", "1"}, {"b", "1"}, {"c", "1"}, {"c", "1"}}},
		"buffer of blocks": {mr.Job("j", mr.MapBlock(pickBlock), mr.Pass[string, []byte]()),
			[]pair{{"a", "1"}, {"b", "1"}, {"b", "1"}, {"c", "1"}, {"c", "1"}}},
		"state": {mr.Job("j", withState, sum), []pair{{"a", "\x02"}, {"b", "\x04"}, {"c", "\x04"}, {"end", "\x02"}}},
	} {
		for _, size := range []int{1, 20, 1000} {
			t.Run(fmt.Sprintf("%s/%d", name, size), func(t *testing.T) {
				var bad []mr.BadRecord
				env := mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir(), Skip: func(b mr.BadRecord) error {
					bad = append(bad, b)
					return nil
				}}
				out := &sink{}
				in := &blocks{path: "f", data: []byte(picky), size: size, off: 100}
				counters, err := configure(t, c.job).Map(t.Context(), env, in, out)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(out.recs, c.want) {
					t.Errorf("got  %q\nwant %q", out.recs, c.want)
				}
				want := []string{"104 7 not good bad one", "116 8 panic: cannot stand boom two (skip_test.go:28) boom two",
					"126 8 not good late x y", "138 3 not good bad"}
				var got []string
				for _, b := range bad {
					got = append(got, fmt.Sprintf("%d %d %s %s", b.Offset, b.Length, b.Reason, b.Data))
				}
				if !slices.Equal(got, want) {
					t.Errorf("skipped %q\nwant    %q", got, want)
				}
				count := map[string]int64{}
				for _, n := range counters {
					count[n.Name] = n.Value
				}
				if count["seen"] != 4 || count["only bad"] != 0 || count["map_input_records"] != 8 {
					t.Errorf("counters %v", count)
				}
			})
		}
	}
}

// saver is a mapper that emits in the end, with the emit of its last record.
type saver struct {
	emit mr.Emit[string, int64]
	sum  int64
}

func (s *saver) Map(line string, emit mr.Emit[string, int64]) error {
	s.emit = emit
	if line == "bad" {
		return errors.New("not good")
	}
	s.sum += int64(len(line))
	return nil
}

func (s *saver) Cleanup(mr.Emit[string, int64]) error {
	s.emit("sum", s.sum)
	return nil
}

// What is emitted at no record is not held back for ever.
func TestWhatIsEmittedInTheEndIsThere(t *testing.T) {
	skipped := 0
	env := mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir(), Skip: func(mr.BadRecord) error { skipped++; return nil }}
	withState := mr.MapFrom(func(*mr.Task) (mr.Mapper[string, string, int64], error) { return &saver{}, nil })
	for _, job := range []*mr.Definition{mr.Job("j", withState), mr.Job("j", withState, mr.Pass[string, int64]()), mr.Job("j", withState, mr.Combine(mr.Sum[int64]))} {
		out := &sink{}
		counters, err := configure(t, job).Map(t.Context(), env, &blocks{path: "f", data: []byte("abc\nbad\nde\n")}, out)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.recs) != 1 || out.recs[0].k != "sum" {
			t.Errorf("got %q, counters %v", out.recs, counters)
		}
	}
	if skipped != 3 {
		t.Errorf("%d records were skipped", skipped)
	}
}

// A mapper's errors of context are about the record, too: it has no context of the task's.
func TestErrorsOfContextAreSkipped(t *testing.T) {
	for name, m := range map[string]mr.Option{
		"records": mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error { return lookUp(line, emit) }),
		"blocks": mr.MapBlock(func(t *mr.Task, block []byte, emit mr.Emit[string, int64]) error {
			for _, line := range mr.Records(t.Format(), block) {
				if err := lookUp(string(line), emit); err != nil {
					return err
				}
			}
			return nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			var bad []string
			env := mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir(), Skip: func(b mr.BadRecord) error {
				bad = append(bad, string(b.Data))
				return nil
			}}
			out := &sink{}
			if _, err := configure(t, mr.Job("j", m)).Map(t.Context(), env, &blocks{path: "f", data: []byte("a\nslow\nb\n")}, out); err != nil {
				t.Fatal(err)
			}
			if want := []pair{{"a", "1"}, {"b", "1"}}; !slices.Equal(bad, []string{"slow"}) || !slices.Equal(out.recs, want) {
				t.Errorf("skipped %q, got %q", bad, out.recs)
			}
		})
	}
}

func lookUp(line string, emit mr.Emit[string, int64]) error {
	if line == "slow" {
		return fmt.Errorf("looking it up: %w", context.DeadlineExceeded)
	}
	emit(line, 1)
	return nil
}

// Not every error is about a record.
func TestWhatIsNotSkipped(t *testing.T) {
	refuse := errors.New("one too many")
	huge := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		f    func(t *mr.Task, line string, emit mr.Emit[string, int64]) error
		skip error
		says string
	}{
		"more than may be": {func(*mr.Task, string, mr.Emit[string, int64]) error { return errors.New("bad") }, refuse, "one too many"},
		"a misused task":   {func(t *mr.Task, _ string, _ mr.Emit[string, int64]) error { t.Path(); return nil }, nil, "needs the option mr.Positions()"},
		"too much held back": {func(t *mr.Task, _ string, emit mr.Emit[string, int64]) error {
			for i := range 32 {
				emit(huge[:len(huge)-i], 1)
			}
			return nil
		}, nil, "f at byte 0: more is emitted for one record than can be held back"},
	} {
		t.Run(name, func(t *testing.T) {
			env := mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir(), Skip: func(b mr.BadRecord) error {
				if c.skip == nil {
					t.Errorf("%s was skipped: %s", b.Data, b.Reason)
				}
				return c.skip
			}}
			_, err := configure(t, mr.Job("j", mr.Map(c.f), mr.Combine(mr.Sum[int64]))).Map(t.Context(), env, &blocks{path: "f", data: []byte("a\n")}, &sink{})
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, which does not say %q", err, c.says)
			}
		})
	}
}

// keeper is a mapper of blocks that emits when it likes: what it keeps in between, nobody
// could take back.
type keeper struct {
	t    *mr.Task
	kept int
}

func (k *keeper) Map(block []byte, emit mr.Emit[string, []byte]) error {
	k.kept += strings.Count(string(block), "\n")
	emit(k.t.Path(), make([]byte, 9<<20)) // more than is ever held back
	if strings.Contains(string(block), "fail") {
		return errors.New("cannot go on")
	}
	return nil
}

func (k *keeper) Cleanup(emit mr.Emit[string, []byte]) error {
	emit("kept", []byte(fmt.Sprint(k.kept)))
	return nil
}

func TestMapBlocksFrom(t *testing.T) {
	p := configure(t, mr.Job("j", mr.Positions(), mr.Pass[string, []byte](),
		mr.MapBlocksFrom(func(t *mr.Task) (mr.Mapper[[]byte, string, []byte], error) { return &keeper{t: t}, nil })))
	for _, skip := range []func(mr.BadRecord) error{nil, func(mr.BadRecord) error { return nil }} {
		env := mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir(), Skip: skip}
		out := &sink{}
		counters, err := p.Map(t.Context(), env, &blocks{path: "f", data: []byte("a\nb\nc\n"), size: 4}, out)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.recs); n != 3 || out.recs[0].k != "f" || out.recs[n-1] != (pair{"kept", "3"}) {
			t.Errorf("%d records", n)
		}
		for _, c := range counters {
			if c.Name == "map_input_records" && c.Value != 3 {
				t.Errorf("%d records counted", c.Value)
			}
		}
		if _, err := p.Map(t.Context(), env, &blocks{path: "f", data: []byte("fail\n")}, &sink{}); err == nil || !strings.Contains(err.Error(), "cannot go on") {
			t.Errorf("an error is reported as %v", err)
		}
	}
}

// What is held back of a record counts with what it takes to tell its pairs apart.
func TestWhatIsHeldBackIsCounted(t *testing.T) {
	many := func(emit mr.Emit[string, mr.None]) error {
		for range 4 << 20 { // 4 MiB, of 8 that may be held back
			emit("k", mr.None{})
		}
		return nil
	}
	job := mr.Job("j", mr.Map(func(_ *mr.Task, _ string, emit mr.Emit[string, mr.None]) error { return many(emit) }), mr.Pass[string, mr.None]())
	env := mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir(), Skip: func(mr.BadRecord) error { return nil }}
	_, err := configure(t, job).Map(t.Context(), env, &blocks{path: "f", data: []byte("line\n")}, &sink{})
	if err == nil || !strings.Contains(err.Error(), "can be held back") {
		t.Errorf("with 64 MiB of places: %v", err)
	}
}
