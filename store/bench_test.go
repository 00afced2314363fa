package store_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mrd-io/mr/store"
)

func benchOpen(b *testing.B) *store.Store {
	b.Helper()
	s, err := store.Open(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkUpdate commits task records of 200 bytes, by so many callers at once.
func BenchmarkUpdate(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := benchOpen(b)
			value := make([]byte, 200)
			var n atomic.Uint64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for i := n.Add(1); i <= uint64(b.N); i = n.Add(1) {
						key := binary.BigEndian.AppendUint64(nil, i)
						if err := s.Update(func(tx *store.Tx) error { return tx.Put(store.Tasks, key, value) }); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
		})
	}
}

// BenchmarkWriteRun writes runs of 64 MiB in blocks of 64 KiB, durably, by so many
// writers at once.
func BenchmarkWriteRun(b *testing.B) {
	for _, writers := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := benchOpen(b)
			block := blocks(1, 1, 64<<10)[0]
			const n = 1024
			b.SetBytes(n * int64(len(block)))
			var left atomic.Int64
			left.Store(int64(b.N))
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						w := s.CreateRun()
						for range n {
							if err := w.WriteBlock(block); err != nil {
								b.Error(err)
								return
							}
						}
						if _, err := w.Seal(context.Background()); err != nil {
							b.Error(err)
						}
						w.Discard()
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkTask does what a small map task does: a run, and its commit with a record.
func BenchmarkTask(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			s := benchOpen(b)
			block := blocks(1, 1, size)[0]
			value := make([]byte, 200)
			var n atomic.Uint64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range 16 {
				wg.Go(func() {
					for i := n.Add(1); i <= uint64(b.N); i = n.Add(1) {
						w := s.CreateRun()
						if err := w.WriteBlock(block); err != nil {
							b.Error(err)
							return
						}
						id, err := w.Seal(context.Background())
						if err != nil {
							b.Error(err)
							return
						}
						key := binary.BigEndian.AppendUint64(nil, i)
						err = s.Update(func(tx *store.Tx) error {
							if err := tx.CommitRun(id); err != nil {
								return err
							}
							return tx.Put(store.Tasks, key, value)
						})
						if err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// BenchmarkReadRun reads the blocks of a run, warm.
func BenchmarkReadRun(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("block=%d", size), func(b *testing.B) {
			s := benchOpen(b)
			const n = 512
			id := write(b, s, blocks(1, n, size))
			r, err := s.OpenRun(id)
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			b.SetBytes(int64(size))
			var dst []byte
			for i := 0; b.Loop(); i++ {
				if dst, err = r.ReadBlock(i%n, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens and closes a small store.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		write(b, s, blocks(uint64(i), 2, 20000))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for _, ro := range []bool{false, true} {
		b.Run(fmt.Sprintf("readonly=%v", ro), func(b *testing.B) {
			for b.Loop() {
				s, err := store.Open(dir, store.Options{ReadOnly: ro})
				if err != nil {
					b.Fatal(err)
				}
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
