package builtin

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/mrd-io/mr"
)

// zipfText makes n bytes of lines of words with a Zipf distribution over a large
// vocabulary; the same every time.
func zipfText(n int) string {
	rng := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(rng, 1.1, 8, 2_000_000)
	var b bytes.Buffer
	for col := 0; b.Len() < n; col++ {
		for x := zipf.Uint64()*2654435761%(1<<40) + 7; x > 0; x /= 26 {
			b.WriteByte('a' + byte(x%26))
		}
		if col%11 == 10 {
			b.WriteByte('\n')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// big serves a text in blocks without copying it.
type big struct {
	feed
	text []byte
}

func (f *big) Next() (mr.Block, error) {
	if f.off == 0 {
		f.text = []byte(f.docs[0].text)
	}
	if f.off == len(f.text) {
		return f.feed.Next()
	}
	end := min(f.off+1<<20, len(f.text))
	if end < len(f.text) {
		end = f.off + bytes.LastIndexByte(f.text[f.off:end], '\n') + 1
	}
	b := mr.Block{Data: f.text[f.off:end], Path: f.docs[0].path, Off: int64(f.off), Last: end == len(f.text)}
	if f.off = end; b.Last {
		f.docs = nil
	}
	return b, nil
}

type devNull struct{ n int64 }

func (d *devNull) Record(k, v []byte) error { d.n += int64(len(k) + len(v)); return nil }

// cpu is the process's time on the processor: other programs don't change it.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkMap(b *testing.B) {
	text := zipfText(16 << 20)
	for _, args := range []string{"wordcount", "wordcount --letters", "wordcount --letters --lower", "grep qzj", "grep q[a-z]*zj", "grep (?i)qzj",
		"grep q[xy]j", "grep qzj|zqj", "grep (ing|ed|er)[a-z]*[0-9]", "sort", "sort --key-bytes 2:12", "index", "count", "count --field 2"} {
		b.Run(strings.ReplaceAll(args, " ", "_"), func(b *testing.B) {
			f := strings.Fields(args)
			d, _ := Lookup()(f[0])
			p, err := d.Configure(f[1:])
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			start := cpu()
			for b.Loop() {
				if _, err := p.Map(b.Context(), mr.TaskEnv{SpillDir: b.TempDir(), Memory: 256 << 20}, &big{feed: feed{docs: []doc{{"in", text}}}}, &devNull{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(text))*float64(b.N)*1000/float64(cpu()-start), "MB/cpu-s")
		})
	}
}

// runs serves sorted records from memory.
type runs struct {
	recs recs
	key  []byte
	i    int
}

func (r *runs) Next() ([]byte, []byte, error) {
	if r.i == len(r.recs) {
		return nil, nil, io.EOF
	}
	p := &r.recs[r.i]
	r.i++
	r.key = append(append(r.key[:0], p.k...), p.v...)
	return r.key[:len(p.k)], r.key[len(p.k):], nil
}

func BenchmarkReduce(b *testing.B) {
	text := zipfText(8 << 20)
	for _, args := range []string{"wordcount", "sort", "sort --key-bytes 2:12", "index"} {
		b.Run(strings.ReplaceAll(args, " ", "_"), func(b *testing.B) {
			f := strings.Fields(args)
			d, _ := Lookup()(f[0])
			p, err := d.Configure(f[1:])
			if err != nil {
				b.Fatal(err)
			}
			var in recs
			if _, err := p.Map(b.Context(), mr.TaskEnv{SpillDir: b.TempDir()}, &big{feed: feed{docs: []doc{{"in", text}}}}, &in); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			start := cpu()
			for b.Loop() {
				if _, err := p.Reduce(b.Context(), mr.TaskEnv{}, &runs{recs: in}, &devNull{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N)/float64(len(in)), "cpu-ns/record")
		})
	}
}

// BenchmarkPaths renders a list of every third of 2,000 documents.
func BenchmarkPaths(b *testing.B) {
	var list, before []byte
	n := 0
	for i := 0; i < 2000; i += 3 {
		path := fmt.Appendf(nil, "/home/someone/docs/%02d/%02d/%06d.txt", i/1000, i/100%10, i)
		list = appendPath(list, before, path)
		before = path
		n++
	}
	var l pathLine
	start := cpu()
	for b.Loop() {
		l.reset()
		if err := l.add(list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/float64(n), "cpu-ns/path")
}
