package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"
)

func main() {
	workers := flag.Int("workers", runtime.GOMAXPROCS(0), "goroutines that count")
	stats := flag.Bool("stats", false, "say on stderr where the time went")
	profile := flag.String("cpuprofile", "", "write a CPU profile to `FILE`")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: ceiling [--workers N] [--stats] FILE > OUT")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *workers, *stats, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "ceiling:", err)
		os.Exit(1)
	}
}

func run(path string, workers int, stats bool, profile string) error {
	if profile != "" {
		p, err := os.Create(profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(p); err != nil {
			return err
		}
		defer func() {
			pprof.StopCPUProfile()
			_ = p.Close() // a profile is for looking at
		}()
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < collectFrom {
		debug.SetGCPercent(-1) // nearly all memory is live to the end
	}
	log := io.Discard
	if stats {
		log = os.Stderr
	}
	return wordcount(f, info.Size(), workers, os.Stdout, log)
}

// collectFrom is the size of a file from which garbage is worth collecting.
const collectFrom = 4 << 30

// wordcount counts the words of f's first size bytes and prints the counts to out.
func wordcount(f io.ReaderAt, size int64, workers int, out, log io.Writer) error {
	began := time.Now()
	ranges, err := sampleRanges(f, size)
	if err != nil {
		return err
	}
	counters, err := count(f, size, workers, ranges)
	if err != nil {
		return err
	}
	counted := time.Now()
	words, err := merge(counters, workers, out)
	seconds := func(d time.Duration) float64 { return d.Seconds() }
	fmt.Fprintf(log, "count %.3f s (%.0f MB/s), merge, sort and print %.3f s, in all %.3f s (%.0f MB/s), %d distinct words, %d records between\n",
		seconds(counted.Sub(began)), float64(size)/1e6/seconds(counted.Sub(began)), seconds(time.Since(counted)),
		seconds(time.Since(began)), float64(size)/1e6/seconds(time.Since(began)), words, spilled(counters))
	return err
}

// count reads f with the given number of workers and returns what each has counted.
func count(f io.ReaderAt, size int64, workers int, ranges *rangeTable) ([]*counter, error) {
	var next atomic.Int64 // block that nobody has taken yet
	var group sync.WaitGroup
	counters, errs := make([]*counter, workers), make([]error, workers)
	for i := range workers {
		counters[i] = newCounter(ranges)
		group.Go(func() {
			var b block
			for errs[i] == nil {
				off := (next.Add(1) - 1) * blockSize
				if off >= size {
					break
				}
				if errs[i] = b.read(f, off, size); errs[i] == nil {
					counters[i].count(b.text())
				}
			}
			counters[i].flush()
		})
	}
	group.Wait()
	return counters, errors.Join(errs...)
}

// merge prints what the counters have counted, in order, and returns the number of distinct words.
func merge(counters []*counter, workers int, out io.Writer) (int, error) {
	var next, words atomic.Int64
	done := make([]chan []byte, partitions)
	for i := range done {
		done[i] = make(chan []byte, 1)
	}
	used := make(chan []byte, 2*workers) // memory of texts that have been written
	for range cap(used) {
		used <- nil
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			var m merger
			for {
				text := <-used // before the next one is taken: the one that is waited for has memory
				p := int(next.Add(1) - 1)
				if p >= partitions {
					used <- text
					return
				}
				m.reset()
				for _, c := range counters {
					m.add(&c.parts[p])
					c.parts[p] = partition{}
				}
				words.Add(int64(m.words()))
				done[p] <- m.print(text[:0])
			}
		})
	}
	w := bufio.NewWriterSize(out, 1<<20)
	var err error
	for _, d := range done {
		text := <-d
		if err == nil {
			_, err = w.Write(text)
		}
		used <- text
	}
	group.Wait()
	if err == nil {
		err = w.Flush()
	}
	return int(words.Load()), err
}
