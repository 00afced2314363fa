package engine

import (
	"bytes"
	"context"
	"io"
	"slices"
	"testing"

	"github.com/mrd-io/mr"
)

type oneBlock struct{ data []byte }

func (o *oneBlock) Next() (mr.Block, error) {
	if o.data == nil {
		return mr.Block{}, io.EOF
	}
	b := mr.Block{Data: o.data, Last: true}
	o.data = nil
	return b, nil
}

type keyList struct{ keys [][]byte }

func (k *keyList) Record(key, _ []byte) error {
	k.keys = append(k.keys, bytes.Clone(key))
	return nil
}

// encoded is the key that a job emits for one line of input, and its shape.
func encoded[K any](t *testing.T, key K) (string, []byte) {
	t.Helper()
	def := mr.Job("j", mr.Map(func(_ *mr.Task, _ string, emit mr.Emit[K, int64]) error {
		emit(key, 1)
		return nil
	}), mr.Combine(mr.Sum[int64]))
	p, err := def.Configure(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out keyList
	if _, err := p.Map(context.Background(), mr.TaskEnv{Memory: 1 << 20, SpillDir: t.TempDir()}, &oneBlock{[]byte("x\n")}, &out); err != nil || len(out.keys) != 1 {
		t.Fatalf("%d keys, %v", len(out.keys), err)
	}
	return p.Traits().KeyShape, out.keys[0]
}

// What a user types for a key is found among the forms of it, for all types of keys.
func TestKeyFormsHoldTheEncoding(t *testing.T) {
	check := func(text string, shape string, key []byte) {
		t.Helper()
		forms, exact := keyForms(shape, text)
		if !exact || !slices.ContainsFunc(forms, func(f []byte) bool { return bytes.Equal(f, key) }) {
			t.Errorf("%q of shape %s: none of %x is %x (exact %v)", text, shape, forms, key, exact)
		}
	}
	is := func(text string) func(shape string, key []byte) {
		return func(shape string, key []byte) { t.Helper(); check(text, shape, key) }
	}
	is("whale")(encoded(t, "whale"))
	is("whale")(encoded(t, []byte("whale")))
	is("a\x00b\tx")(encoded(t, mr.T2("a\x00b", "x")))
	is("-7")(encoded(t, int64(-7)))
	is("-7")(encoded(t, int8(-7)))
	is("4000000000")(encoded(t, uint32(4000000000)))
	is("2.5")(encoded(t, 2.5))
	is("-2.5")(encoded(t, float32(-2.5)))
	is("0")(encoded(t, 0.0))
	is("true")(encoded(t, true))
	is("12\tz")(encoded(t, mr.T2(mr.Desc[int64]{Value: 12}, "z")))
	is("z\t3")(encoded(t, mr.T2(mr.Desc[string]{Value: "z"}, uint16(3))))
}

func TestKeyFormsOfBeginningsAndMisfits(t *testing.T) {
	shape, key := encoded(t, mr.T3("a", int64(5), "b"))
	forms, exact := keyForms(shape, "a\t5")
	if exact || !slices.ContainsFunc(forms, func(f []byte) bool { return bytes.HasPrefix(key, f) }) {
		t.Errorf("the first components are not found: %x in %x (exact %v)", forms, key, exact)
	}
	for _, text := range []string{"a\t5\tb\tc", "a\tnumber"} {
		if forms, _ := keyForms(shape, text); len(forms) > 0 {
			t.Errorf("%q has forms %x", text, forms)
		}
	}
}
