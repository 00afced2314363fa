package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/mrd-io/mr/store"
)

// childFull runs out of space in the catalog and in a volume, and goes on when
// there is space again. A limit on file sizes stands for the full disk.
func childFull(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var log bytes.Buffer
	s, err := store.Open(dir, store.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		return err
	}
	kept := blocksOf('k', 20, 100_000)
	id, err := writeRun(s, kept)
	if err != nil {
		return err
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	for round := range 2 {
		tight := old
		tight.Cur = 12 << 20
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &tight); err != nil {
			return err
		}
		if _, err := writeRun(s, blocksOf('f', 24, 1<<20)); err == nil {
			return errors.New("24 MiB fit in a volume of 12")
		}
		if err := fillCatalog(s, byte(round)); err != nil {
			return err
		}
		if err := readRun(s, id, kept); err != nil {
			return err
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			return err
		}
		more := blocksOf('m', 14, 1<<20)
		again, err := writeRun(s, more)
		if err != nil {
			return fmt.Errorf("with space again: %w", err)
		}
		if err := errors.Join(readRun(s, id, kept), readRun(s, again, more), s.Check(context.Background())); err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil || log.Len() == 0 {
		return err
	}
	return fmt.Errorf("what callers are told, once for each try, is in the log as well: %.500s", log.String())
}

// fillCatalog has several callers put large values until each has failed, and verifies
// that what succeeded is there, and nothing else.
func fillCatalog(s *store.Store, round byte) error {
	const callers = 4
	var done [callers]uint32
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for g := range callers {
		wg.Go(func() {
			for {
				key := binary.BigEndian.AppendUint32([]byte{round, byte(g)}, done[g])
				err := s.Update(func(tx *store.Tx) error {
					return tx.Put(store.Plans, key, bytes.Repeat([]byte{1}, 600_000))
				})
				if err != nil {
					return
				}
				if done[g]++; done[g] > 100 {
					errs[g] = errors.New("the catalog is never full")
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.Update(func(tx *store.Tx) error { // which needs no more space than there is
		var keys [][]byte
		if err := tx.Scan(store.Plans, nil, func(k, _ []byte) error { keys = append(keys, bytes.Clone(k)); return nil }); err != nil {
			return err
		}
		total := uint32(0)
		for _, n := range done {
			total += n
		}
		if int(total) != len(keys) {
			return fmt.Errorf("%d puts succeeded and %d are there", total, len(keys))
		}
		for _, k := range keys {
			if err := tx.Delete(store.Plans, k); err != nil {
				return err
			}
		}
		return nil
	})
}

func blocksOf(b byte, n, size int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = bytes.Repeat([]byte{b ^ byte(i)}, size)
	}
	return out
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closeStore(t, open(t, dir, store.Options{}))
	p := spawn(t, "full", dir)
	for p.lines.Scan() {
		t.Log(p.lines.Text())
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
