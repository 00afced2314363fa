// Command calls measures how many Time.Now calls a second mrd answers on its unix socket,
// with 32 in flight from a stock net/rpc client, while it counts the words of 1 GB: and
// the same while it does nothing.
//
//	go run ./bench/calls [--bytes 1000000000]
//
// It builds mrd, makes the text, and prints rows for bench/RESULTS.md.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/bench/corpus"
	"github.com/mrd-io/mr/clock"
	"github.com/mrd-io/mr/rpcsvc"
)

const (
	inFlight = 32
	quiet    = 3 * time.Second // how long calls are counted while nothing runs
)

func main() {
	log.SetFlags(0)
	size := flag.Int64("bytes", 1_000_000_000, "bytes of text")
	dir := flag.String("dir", "", "folder for the text and the store; empty: a temporary one")
	flag.Parse()
	if err := measure(*size, *dir); err != nil {
		log.Fatal(err)
	}
}

func measure(size int64, dir string) (err error) {
	tmp, err := os.MkdirTemp(dir, "calls-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	text := filepath.Join(tmp, "text")
	if err := writeText(text, size); err != nil {
		return err
	}
	mrd, store := filepath.Join(tmp, "mrd"), filepath.Join(tmp, "store")
	if out, err := exec.Command("go", "build", "-o", mrd, "github.com/mrd-io/mr/cmd/mrd").CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	daemon := exec.Command(mrd, "--store", store)
	if err := daemon.Start(); err != nil {
		return err
	}
	defer func() {
		daemon.Process.Signal(os.Interrupt) //nolint:errcheck // it may have ended
		daemon.Wait()                       //nolint:errcheck // its output is not looked at
	}()
	socket := filepath.Join(store, "mrd.sock")
	jobs, err := dial(socket)
	if err != nil {
		return err
	}
	defer jobs.Close() //nolint:errcheck // going away

	idle, err := count(socket, func() error { time.Sleep(quiet); return nil })
	if err != nil {
		return err
	}
	var status mr.Status
	busy, err := count(socket, func() error {
		status, err = run(jobs, text, filepath.Join(tmp, "out"))
		return err
	})
	if err != nil {
		return err
	}
	fmt.Println("| Time.Now on the unix socket, 32 in flight | calls/s | for |")
	fmt.Println("|---|---|---|")
	fmt.Printf("| daemon idle | %.0f | %v |\n", idle.perSecond(), idle.took.Round(10*time.Millisecond))
	fmt.Printf("| while it counts the words of %d MB (%.2f s) | %.0f | %v |\n", size/1_000_000, status.Seconds.Elapsed, busy.perSecond(), busy.took.Round(10*time.Millisecond))
	return nil
}

func writeText(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = corpus.Text(w, corpus.Mixed, 1, size)
	return errors.Join(err, w.Flush(), f.Close())
}

// dial waits for the daemon to listen.
func dial(socket string) (c *rpcsvc.Client, err error) {
	for range 500 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		c, err = rpcsvc.Dial(ctx, "unix:"+socket, rpcsvc.ClientOptions{})
		cancel()
		if err == nil {
			return c, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, err
}

// run counts the words of text, to the end.
func run(jobs mr.Jobs, text, out string) (s mr.Status, err error) {
	ctx := context.Background()
	id, err := jobs.Submit(ctx, rpcsvc.NewSubmitID(), mr.Spec{Job: "wordcount", Inputs: []string{text}, Output: out})
	for err == nil && !s.State.Done() {
		s, err = jobs.Wait(ctx, id, s.Version)
	}
	if err == nil && s.State != mr.Succeeded {
		err = fmt.Errorf("the job is %s: %s", s.State, s.Error)
	}
	return s, err
}

type tally struct {
	calls int64
	took  time.Duration
}

func (t tally) perSecond() float64 { return float64(t.calls) / t.took.Seconds() }

// count makes calls as fast as they are answered, until during returns.
func count(socket string, during func() error) (t tally, err error) {
	nc, err := net.Dial("unix", socket)
	if err != nil {
		return t, err
	}
	c := rpc.NewClient(nc)
	defer c.Close() //nolint:errcheck // going away
	var stop atomic.Bool
	var calls atomic.Int64
	done := make(chan error, inFlight)
	start := time.Now()
	for w := range inFlight {
		go func() {
			var err error
			for nonce := uint64(w); err == nil && !stop.Load(); nonce += inFlight {
				var rep clock.Reply
				if err = c.Call("Time.Now", &clock.Request{Nonce: nonce}, &rep); err == nil && rep.Nonce != nonce {
					err = fmt.Errorf("the answer to %d is of %d", nonce, rep.Nonce)
				}
				calls.Add(1)
			}
			done <- err
		}()
	}
	err = during()
	t = tally{calls.Load(), time.Since(start)}
	stop.Store(true)
	for range inFlight {
		err = errors.Join(err, <-done)
	}
	return t, err
}
