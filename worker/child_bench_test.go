package worker

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/mrd-io/mr"
)

// megabytes serves a text in blocks of a megabyte, as package input does.
type megabytes struct {
	text []byte
	off  int
}

func (m *megabytes) Next() (mr.Block, error) {
	if m.off == len(m.text) {
		return mr.Block{}, io.EOF
	}
	end := min(m.off+1<<20, len(m.text))
	if end < len(m.text) {
		end = m.off + bytes.LastIndexByte(m.text[m.off:end], '\n') + 1
	}
	b := mr.Block{Data: m.text[m.off:end], Path: "in", Off: int64(m.off), Last: end == len(m.text)}
	m.off = end
	return b, nil
}

type bottomless struct{}

func (bottomless) Record(_, _ []byte) error { return nil }

// processorTime is this process's and its ended children's.
func processorTime(b *testing.B) (ns int64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		ns += u.Utime.Nano() + u.Stime.Nano()
	}
	return ns
}

// BenchmarkMapWhere counts words in this process, in a child that shares memory, and in
// one that gets its input through the socket: what crossing over costs.
func BenchmarkMapWhere(b *testing.B) {
	var text bytes.Buffer
	zipf := rand.NewZipf(rand.New(rand.NewPCG(3, 4)), 1.2, 10, 200_000)
	for i := 0; text.Len() < 32<<20; i++ {
		fmt.Fprintf(&text, "word%d%c", zipf.Uint64(), " \n"[i%12/11])
	}
	count, err := mr.Job("count", mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, int64]) error {
		for w := range strings.FieldsSeq(line) {
			emit(w, 1)
		}
		return misbehave(line)
	}), mr.Combine(mr.Sum[int64])).Configure(nil)
	if err != nil {
		b.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	for _, where := range []string{"here", "shared", "socket"} {
		b.Run(where, func(b *testing.B) {
			b.SetBytes(int64(text.Len()))
			start := processorTime(b)
			for b.Loop() {
				c := NewChildren(ChildOptions{})
				var r mr.Runner = count
				if where != "here" {
					if r, err = c.Open(b.Context(), exe, ownDigest(), "count", nil, nil); err != nil {
						b.Fatal(err)
					}
				}
				if where == "socket" {
					c.idle[0].shared = nil
				}
				if _, err := r.Map(b.Context(), mr.TaskEnv{SpillDir: b.TempDir()}, &megabytes{text: text.Bytes()}, bottomless{}); err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric(float64(text.Len())*float64(b.N)*1000/float64(processorTime(b)-start), "MB/cpu-s")
		})
	}
}
