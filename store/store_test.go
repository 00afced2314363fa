package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/mrd-io/mr/store"
	"github.com/mrd-io/mr/store/storetest"
)

// open opens the store in dir for one test, which ends with a check of all of it.
func open(t testing.TB, dir string, o store.Options) *store.Store {
	t.Helper()
	storetest.CheckOnCleanup(t, dir)
	return openUnchecked(t, dir, o)
}

func openUnchecked(t testing.TB, dir string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func closeStore(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// blocks returns n blocks of the given size that differ by seed.
func blocks(seed uint64, n, size int) [][]byte {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	r := rand.NewChaCha8(key)
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, size)
		r.Read(out[i])
	}
	return out
}

// seal writes a run and seals it.
func seal(t testing.TB, s *store.Store, data [][]byte) store.RunID {
	t.Helper()
	w := s.CreateRun()
	var scratch []byte
	for _, b := range data {
		scratch = append(scratch[:0], b...)
		if err := w.WriteBlock(scratch); err != nil {
			t.Fatal(err)
		}
		clear(scratch) // the writer must have copied it
	}
	id, err := w.Seal(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func commit(t testing.TB, s *store.Store, ids ...store.RunID) {
	t.Helper()
	err := s.Update(func(tx *store.Tx) error {
		for _, id := range ids {
			if err := tx.CommitRun(id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, s *store.Store, data [][]byte) store.RunID {
	t.Helper()
	id, err := writeRun(s, data)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func writeRun(s *store.Store, data [][]byte) (store.RunID, error) {
	w := s.CreateRun()
	defer w.Discard()
	for _, b := range data {
		if err := w.WriteBlock(b); err != nil {
			return 0, err
		}
	}
	id, err := w.Seal(context.Background())
	if err != nil {
		return 0, err
	}
	return id, s.Update(func(tx *store.Tx) error { return tx.CommitRun(id) })
}

var errDiffers = errors.New("not what was written")

// readRun returns an error unless the run holds data.
func readRun(s *store.Store, id store.RunID, data [][]byte) error {
	r, err := s.OpenRun(id)
	if err != nil {
		return err
	}
	defer r.Close()
	total := 0
	var got []byte
	for i, b := range data {
		if got, err = r.ReadBlock(i, got); err != nil {
			return err
		}
		if !bytes.Equal(got, b) {
			return fmt.Errorf("run %v block %d: %w: %d bytes, %d written", id, i, errDiffers, len(got), len(b))
		}
		total += len(b)
	}
	if r.Blobs() != len(data) || r.Bytes() != int64(total) {
		return fmt.Errorf("run %v has %d blobs of %d bytes, not %d of %d", id, r.Blobs(), r.Bytes(), len(data), total)
	}
	return nil
}

func mustRead(t testing.TB, s *store.Store, id store.RunID, data [][]byte) {
	t.Helper()
	if err := readRun(s, id, data); err != nil {
		t.Fatal(err)
	}
}

func TestRunsSurviveReopening(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		n, size int
	}{
		{"empty", 0, 0}, {"empty blocks", 3, 0}, {"inline", 3, 1000}, {"one page", 1, 20000},
		{"chunks", 40, 100_000}, {"many small", 3000, 100}, {"beyond a chunk", 3, 3 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, store.Options{})
			data := blocks(7, c.n, c.size)
			id := seal(t, s, data)
			if _, err := s.OpenRun(id); !errors.Is(err, store.ErrNoRun) {
				t.Errorf("an uncommitted run opens with %v", err)
			}
			commit(t, s, id)
			mustRead(t, s, id, data)
			closeStore(t, s)
			s = openUnchecked(t, dir, store.Options{})
			mustRead(t, s, id, data)
			if s.Epoch() != 2 {
				t.Errorf("epoch %d after two opens", s.Epoch())
			}
			if next := seal(t, s, data); next <= id {
				t.Errorf("run id %v comes after %v", next, id)
			}
		})
	}
}
