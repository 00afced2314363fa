// Command rpc-wordcount is the smallest useful RPC program: a server that counts words
// and a client that calls it in three ways.
//
//	go run ./examples/rpc-wordcount                            # both in one process
//	go run ./examples/rpc-wordcount -serve 127.0.0.1:4321      # or apart
//	go run ./examples/rpc-wordcount -call 127.0.0.1:4321
//
// It uses net/rpc as it comes, to show what that is. What it takes before one would
// trust it (deadlines, retries that don't do the work twice, limits, credentials) is
// package rpcsvc.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/rpc"
	"os"
	"strings"
)

const lecture = "hello I am good hello bye bye bye good night hello"

func main() {
	log.SetFlags(0)
	serve := flag.String("serve", "", "serve on this `address`, and nothing else")
	call := flag.String("call", "", "call the server at this `address`")
	text := flag.String("text", lecture, "count the words of this `text`")
	flag.Parse()
	if err := run(os.Stdout, *serve, *call, *text); err != nil {
		log.Fatal(err)
	}
}

func run(out io.Writer, serve, call, text string) error {
	if call == "" {
		listen := serve
		if listen == "" {
			listen = "127.0.0.1:0"
		}
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		defer l.Close()
		server := rpc.NewServer()
		if err := server.Register(WordCount{}); err != nil {
			return err
		}
		if serve != "" {
			fmt.Fprintln(out, "serving on", l.Addr())
			return accept(server, l)
		}
		go accept(server, l) //nolint:errcheck // ends when l is closed
		call = l.Addr().String()
	}
	client, err := rpc.Dial("tcp", call)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, style := range []struct {
		name  string
		count func(*rpc.Client, string) (*Counts, error)
	}{{"synchronous", countSync}, {"channel", countChannel}, {"client.Go", countGo}} {
		counts, err := style.count(client, text)
		if err != nil {
			return fmt.Errorf("%s: %w", style.name, err)
		}
		fmt.Fprintf(out, "%-12s %v\n", style.name, counts)
	}
	return nil
}

func accept(server *rpc.Server, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go server.ServeConn(conn)
	}
}

// countSync waits for the answer.
func countSync(c *rpc.Client, text string) (*Counts, error) {
	counts := new(Counts)
	err := c.Call("WordCount.Count", Text{text}, counts)
	return counts, err
}

// countChannel makes the synchronous call in a goroutine, and gets the answer from a
// channel: meanwhile, other work could be done.
func countChannel(c *rpc.Client, text string) (*Counts, error) {
	type answer struct {
		counts *Counts
		err    error
	}
	answers := make(chan answer, 1) // room for one: the goroutine ends even if nobody listens
	go func() {
		counts, err := countSync(c, text)
		answers <- answer{counts, err}
	}()
	a := <-answers
	return a.counts, a.err
}

// countGo leaves the goroutine to net/rpc. The reply must not be read before the call
// comes out of Done.
func countGo(c *rpc.Client, text string) (*Counts, error) {
	counts := new(Counts)
	call := <-c.Go("WordCount.Count", Text{text}, counts, make(chan *rpc.Call, 1)).Done
	return counts, call.Error
}

// String shows the counts as word:n.
func (c *Counts) String() string {
	var b strings.Builder
	for i, w := range c.Words {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s:%d", w.Word, w.N)
	}
	return b.String()
}
