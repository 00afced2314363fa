package rpcsvc_test

import (
	"context"
	"fmt"
	"log"
	"net/rpc"
	"os"
	"path/filepath"
	"time"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/clock"
	"github.com/mrd-io/mr/rpcsvc"
)

// counting is an engine that numbers its jobs and has them done at once.
type counting struct {
	mr.Jobs
	jobs chan int
}

func (c counting) Submit(ctx context.Context, id mr.SubmitID, spec mr.Spec) (mr.JobID, error) {
	n := <-c.jobs
	c.jobs <- n + 1
	return mr.JobID(fmt.Sprint("job_", n)), nil
}

// daemon serves an engine in this process, for the examples: usually that is mrd.
func daemon() (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "mr")
	if err != nil {
		log.Fatal(err)
	}
	addr = "unix:" + filepath.Join(dir, "s")
	l, err := rpcsvc.Listen(addr)
	if err != nil {
		log.Fatal(err)
	}
	engine := counting{jobs: make(chan int, 1)}
	engine.jobs <- 1
	s := rpcsvc.NewServer(engine, rpcsvc.ServerOptions{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	return addr, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
		<-served
		os.RemoveAll(dir)
	}
}

// The asynchronous call of net/rpc: go on working, then take the call from its channel.
func ExampleClient_Go() {
	addr, stop := daemon()
	defer stop()
	ctx := context.Background()
	c, err := rpcsvc.Dial(ctx, addr, rpcsvc.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	done := make(chan *rpc.Call, 2) // room for every call that is sent on it
	for _, out := range []string{"/out/a", "/out/b"} {
		c.Go(ctx, rpcsvc.NewSubmitID(), mr.Spec{Job: "wordcount", Inputs: []string{"/in"}, Output: out}, done)
	}
	accepted := 0
	for range cap(done) {
		if call := <-done; call.Error != nil {
			log.Fatal(call.Error)
		} else if call.Reply.(*rpcsvc.SubmitReply).Job != "" {
			accepted++
		}
	}
	fmt.Println(accepted, "jobs accepted")
	// Output: 2 jobs accepted
}

// The same with a callback.
func ExampleClient_SubmitFunc() {
	addr, stop := daemon()
	defer stop()
	ctx := context.Background()
	c, err := rpcsvc.Dial(ctx, addr, rpcsvc.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	over := make(chan struct{})
	c.SubmitFunc(ctx, rpcsvc.NewSubmitID(), mr.Spec{Job: "wordcount", Output: "/out"}, func(job mr.JobID, err error) {
		defer close(over)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("accepted as", job)
	})
	<-over
	// Output: accepted as job_1
}

// Keeping the daemon's time.
func ExampleDialTime() {
	addr, stop := daemon()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	x, err := rpcsvc.DialTime(ctx, addr, rpcsvc.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer x.Close()
	c := clock.New(x, clock.Options{})
	if err := c.Sync(ctx, 8); err != nil { // at once
		log.Fatal(err)
	}
	kept := make(chan error, 1)
	go func() { kept <- c.Run(ctx) }() // and from now on
	_, uncertainty, err := c.Now()
	fmt.Println(uncertainty > 0, err)
	cancel()
	<-kept
	// Output: true <nil>
}
