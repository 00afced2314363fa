// Command timesync asks another clock for the time, by Cristian's algorithm.
//
//	go run ./examples/timesync                     # with a server of its own
//	go run ./examples/timesync -serve 127.0.0.1:4322
//	go run ./examples/timesync -ask 127.0.0.1:4322
//	go run ./examples/timesync -ask unix:$HOME/.local/state/mr/mrd.sock
//
// It prints one answer of SyncTime, then what a Clock says for a while: the time, how
// wrong it may be, and what the samples were like.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/rpc"
	"os"
	"time"

	"github.com/mrd-io/mr/clock"
)

func main() {
	log.SetFlags(0)
	serve := flag.String("serve", "", "serve on this TCP `address`, and nothing else")
	ask := flag.String("ask", "", "ask the server at this `address`: HOST:PORT or unix:PATH")
	watch := flag.Duration("watch", 2*time.Second, "keep a clock for this `long`")
	flag.Parse()
	if err := run(os.Stdout, *serve, *ask, *watch); err != nil {
		log.Fatal(err)
	}
}

func run(out io.Writer, serve, ask string, watch time.Duration) error {
	if ask == "" {
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
		if err := server.RegisterName("Time", clock.NewService(clock.NewMaster())); err != nil {
			return err
		}
		if serve != "" {
			fmt.Fprintln(out, "serving on", l.Addr())
			return accept(server, l)
		}
		go accept(server, l) //nolint:errcheck // ends when l is closed
		ask = l.Addr().String()
	}
	t, err := clock.SyncTime(ask)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "SyncTime:", t.Format(time.RFC3339Nano))
	return keep(out, ask, watch)
}

// keep runs a Clock and shows what it says, twice a second.
func keep(out io.Writer, ask string, watch time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), watch)
	defer cancel()
	network, where := "tcp", ask
	if len(ask) > 5 && ask[:5] == "unix:" {
		network, where = "unix", ask[5:]
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, where)
	if err != nil {
		return err
	}
	wire := clock.NewWire(conn, 1)
	defer wire.Close() //nolint:errcheck // all was read
	c := clock.New(wire, clock.Options{})
	if err := c.Sync(ctx, 0); err != nil {
		return err
	}
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		t, uncertainty, err := c.Now()
		if err != nil {
			fmt.Fprintln(out, "no time:", err) // a clock that doesn't know says so
		} else {
			r := c.Report()
			fmt.Fprintf(out, "%s ± %v  offset %v, round trip %v (least %v), %d samples\n",
				t.Format("15:04:05.000000"), uncertainty, r.Offset, r.RTTMedian, r.RTTMin, r.Used)
		}
		select {
		case <-tick.C:
		case err := <-ran:
			return err
		}
	}
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
