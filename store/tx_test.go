package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mrd-io/mr/store"
)

func put(t testing.TB, s *store.Store, table store.Table, kv ...string) {
	t.Helper()
	err := s.Update(func(tx *store.Tx) error {
		for i := 0; i < len(kv); i += 2 {
			if err := tx.Put(table, []byte(kv[i]), []byte(kv[i+1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump returns the table's records below prefix as "k=v k=v".
func dump(t testing.TB, s *store.Store, table store.Table, prefix string) string {
	t.Helper()
	var out []string
	err := s.View(func(tx *store.Tx) error {
		return tx.Scan(table, []byte(prefix), func(k, v []byte) error {
			out = append(out, fmt.Sprintf("%s=%s", k, v))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestTables(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	put(t, s, store.Tasks, "a1", "1", "a2", "2", "b1", "3", "\xff\xff", "4")
	put(t, s, store.Jobs, "a9", "other table")
	for prefix, want := range map[string]string{
		"": "a1=1 a2=2 b1=3 \xff\xff=4", "a": "a1=1 a2=2", "a2": "a2=2", "c": "", "\xff": "\xff\xff=4",
	} {
		if got := dump(t, s, store.Tasks, prefix); got != want {
			t.Errorf("scan %q: %q and not %q", prefix, got, want)
		}
	}
	stop := errors.New("stop")
	err := s.View(func(tx *store.Tx) error {
		for prefix, want := range map[string]string{"": "\xff\xff", "a": "a2", "b": "b1", "a1": "a1", "\xff": "\xff\xff", "0": "", "c": ""} {
			if k, _ := tx.Last(store.Tasks, []byte(prefix)); string(k) != want {
				t.Errorf("last of %q: %q and not %q", prefix, k, want)
			}
		}
		if k, v := tx.Last(store.Plans, nil); k != nil || v != nil {
			t.Errorf("last of an empty table: %q", k)
		}
		if v := tx.Get(store.Tasks, []byte("none")); v != nil {
			t.Errorf("got %q", v)
		}
		var keys []string
		err := tx.ScanFrom(store.Tasks, []byte("a"), []byte("a1\x00"), func(k, _ []byte) error {
			keys = append(keys, string(k))
			return stop
		})
		if !errors.Is(err, stop) || fmt.Sprint(keys) != "[a2]" {
			t.Errorf("scan from: %v, %v", keys, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTransactionReadsItsWrites(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	err := s.Update(func(tx *store.Tx) error {
		value := []byte("one")
		if err := tx.Put(store.Meta, []byte("k"), value); err != nil {
			return err
		}
		copy(value, "two") // the store must have its own copy
		if got := tx.Get(store.Meta, []byte("k")); string(got) != "one" {
			t.Errorf("read %q", got)
		}
		if err := tx.Delete(store.Meta, []byte("k")); err != nil {
			return err
		}
		if got := tx.Get(store.Meta, []byte("k")); got != nil {
			t.Errorf("read %q after deletion", got)
		}
		return tx.Put(store.Meta, []byte("k"), []byte("three"))
	})
	if got := dump(t, s, store.Meta, ""); err != nil || got != "k=three" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestFailuresAreRolledBackAlone runs transactions that succeed, fail before and after
// writing, and panic, all at once: a failed one leaves nothing, and costs no other.
func TestFailuresAreRolledBackAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, store.Options{})
	refusal := errors.New("refused")
	const n = 400
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			key := binary.BigEndian.AppendUint32(nil, uint32(i))
			errs[i] = s.Update(func(tx *store.Tx) error {
				if i%5 == 1 {
					return refusal
				}
				if err := tx.Put(store.Tasks, key, key); err != nil {
					return err
				}
				switch i % 5 {
				case 2:
					return refusal
				case 3:
					panic("boom")
				}
				return nil
			})
		})
	}
	wg.Wait()
	closeStore(t, s)
	s = openUnchecked(t, dir, store.Options{})
	for i, err := range errs {
		var got []byte
		key := binary.BigEndian.AppendUint32(nil, uint32(i))
		if err := s.View(func(tx *store.Tx) error { got = bytes.Clone(tx.Get(store.Tasks, key)); return nil }); err != nil {
			t.Fatal(err)
		}
		var ok bool
		switch i % 5 {
		case 1, 2:
			ok = errors.Is(err, refusal) && got == nil
		case 3:
			ok = err != nil && strings.Contains(err.Error(), "boom") && got == nil
		default:
			ok = err == nil && bytes.Equal(got, key)
		}
		if !ok {
			t.Errorf("update %d returned %v and left %x", i, err, got)
		}
	}
}

// TestNothingSeesWhatWasRolledBack has pairs of calls of which one reads what the other
// writes before it fails.
func TestNothingSeesWhatWasRolledBack(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() {
			err := s.Update(func(tx *store.Tx) error {
				if err := tx.Put(store.Meta, []byte("k"), []byte("never")); err != nil {
					return err
				}
				return errors.New("no")
			})
			if err == nil {
				t.Error("a failing update returned nil")
			}
		})
		wg.Go(func() {
			err := s.Update(func(tx *store.Tx) error {
				if v := tx.Get(store.Meta, []byte("k")); v != nil {
					return fmt.Errorf("read %q", v)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestFunctionThatEndsItsGoroutine(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	err := s.Update(func(tx *store.Tx) error {
		if err := tx.Put(store.Meta, []byte("k"), []byte("v")); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	})
	if err == nil || dump(t, s, store.Meta, "") != "" {
		t.Errorf("update: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.View(func(*store.Tx) error { runtime.Goexit(); return nil })
	}()
	<-done
	put(t, s, store.Meta, "k", "v")
	closeStore(t, s) // which waits for every reader
	if err := s.Update(func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update after close: %v", err)
	}
	if err := s.View(func(*store.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("view after close: %v", err)
	}
}

func TestRunRecordsAreTheStores(t *testing.T) {
	s := open(t, t.TempDir(), store.Options{})
	for _, fn := range []func(tx *store.Tx) error{
		func(tx *store.Tx) error { return tx.Put(store.Runs, []byte("12345678"), nil) },
		func(tx *store.Tx) error { return tx.Delete(store.Runs, []byte("12345678")) },
		func(tx *store.Tx) error { return tx.Put("nonesuch", []byte("k"), nil) },
		func(tx *store.Tx) error { return tx.Put(store.Meta, nil, nil) },
		func(tx *store.Tx) error { return tx.DeleteRun(99) },
		func(tx *store.Tx) error { return tx.CommitRun(99) },
	} {
		if err := s.Update(fn); err == nil {
			t.Error("not refused")
		}
	}
}
