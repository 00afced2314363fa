//go:build linux

// Command ntp compares package clock with github.com/beevik/ntp against one clock:
// a second process serves a clock with a skew and a drift, over net/rpc and over SNTP,
// and both sides compute the truth from the monotonic clock that they share.
//
//	cd bench/ntp && go run . [-rounds 500] [-reads 100000]
//
// With -reads the clock that is kept over the unix socket is read so many times besides, and so is one behind
// a relay that holds each request up for 20 ms and no reply. It prints rows for bench/RESULTS.md.
//
// It is a module of its own, so that the engine does not depend on an NTP client.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr/clock"
	"github.com/mrd-io/mr/rpcsvc"
)

const (
	skew = time.Hour
	ppm  = 37
	warm = 5 * time.Second
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 500, "rounds; each asks in every way once")
	reads := flag.Int("reads", 0, "read the kept clocks so many times besides")
	socket := flag.String("serve", "", "internal: serve on this `socket`, and two ports")
	flag.Parse()
	run := func(rounds int) error { return measure(rounds, *reads) }
	if *socket != "" {
		run = func(int) error { return serve(*socket) }
	}
	if err := run(*rounds); err != nil {
		log.Fatal(err)
	}
}

// rawMono is a clock that both processes share.
func rawMono() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		log.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// start is an arbitrary moment on the served clock; both processes must agree on it.
const start = 1_700_000_000 * time.Second

// served is the served clock at a reading of rawMono.
func served(raw time.Duration) (wall, mono time.Duration) {
	mono = raw + raw/1_000_000*ppm
	return mono + skew + start, mono
}

// serve offers the clock on a unix socket (package rpcsvc), on TCP (net/rpc as it
// comes) and on UDP (SNTP), and prints the two ports.
func serve(socket string) error {
	master := clock.NewMasterOf(func() (wall, mono time.Duration) { return served(rawMono()) })
	l, err := rpcsvc.Listen("unix:" + socket)
	if err != nil {
		return err
	}
	s := rpcsvc.NewServer(nil, rpcsvc.ServerOptions{Clock: master}) // nobody calls Jobs
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stock := rpc.NewServer()
	if err := stock.RegisterName("Time", clock.NewService(master)); err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		bufio.NewReader(os.Stdin).ReadByte() // the parent ended
		cancel()
		tcp.Close()
		udp.Close()
	}()
	go accept(stock, tcp)
	go sntp(udp)
	fmt.Println(tcp.Addr(), udp.LocalAddr())
	return s.Serve(ctx, l)
}

func accept(s *rpc.Server, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.ServeConn(conn)
	}
}

// sntp answers NTP queries, stamping as early and as late as it can.
func sntp(udp net.PacketConn) {
	buf := make([]byte, 512)
	for {
		n, from, err := udp.ReadFrom(buf)
		if err != nil {
			return
		}
		arrived, _ := served(rawMono())
		if n < 48 {
			continue
		}
		reply := make([]byte, 48)
		reply[0], reply[1], reply[2], reply[3] = 4<<3|4, 1, 0, 0xec // version 4, server; stratum 1; 2⁻²⁰ s
		copy(reply[12:], "TEST")
		put(reply[16:], arrived)
		copy(reply[24:32], buf[40:48])
		put(reply[32:], arrived)
		leaves, _ := served(rawMono())
		put(reply[40:], leaves)
		if _, err := udp.WriteTo(reply, from); err != nil {
			return
		}
	}
}

// put writes an NTP timestamp: seconds since 1900, and 2⁻³² of them.
func put(b []byte, wall time.Duration) {
	s := uint64(wall/time.Second) + 2_208_988_800
	frac := uint64(wall%time.Second) << 32 / uint64(time.Second)
	for i, v := 0, s<<32|frac; i < 8; i++ {
		b[i] = byte(v >> (56 - 8*i))
	}
}

// truth returns the offset of the served clock from this process's wall clock. The
// readings are repeated until they are close together.
func truth() time.Duration {
	for {
		before := rawMono()
		now := time.Now()
		after := rawMono()
		if after-before < 2*time.Microsecond {
			wall, _ := served(before + (after-before)/2)
			return wall - time.Duration(now.UnixNano())
		}
	}
}

// way is one way to ask; it returns the offset it found and how wrong that may be.
type way struct {
	name string
	ask  func() (offset, bound time.Duration, err error)

	wrong, bounds []time.Duration
	missed        int // answers whose bound did not hold
}

func measure(rounds, reads int) error {
	dir, err := os.MkdirTemp("", "ntpbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "s")
	child := exec.Command(os.Args[0], "-serve", socket)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer child.Wait()
	defer in.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	ports := strings.Fields(line)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ways, err := prepare(ctx, socket, ports[0], ports[1])
	if err != nil {
		return err
	}
	time.Sleep(warm) // the kept clocks have been kept for a while, as in a daemon
	for range rounds {
		for _, w := range ways {
			offset, bound, err := w.ask()
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			wrong := (offset - truth()).Abs()
			w.wrong, w.bounds = append(w.wrong, wrong), append(w.bounds, bound)
			if wrong > bound+3*time.Microsecond { // of which the truth itself is not sure
				w.missed++
			}
		}
		time.Sleep(2 * time.Millisecond)
	}
	fmt.Println("| asked how | error p50 | p99 | bound p50 | p99 | bound missed the truth |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, w := range ways {
		slices.Sort(w.wrong)
		slices.Sort(w.bounds)
		at := func(d []time.Duration, q int) time.Duration { return d[len(d)*q/100].Round(100 * time.Nanosecond) }
		fmt.Printf("| %s | %v | %v | %v | %v | %d of %d |\n", w.name,
			at(w.wrong, 50), at(w.wrong, 99), at(w.bounds, 50), at(w.bounds, 99), w.missed, rounds)
	}
	if reads == 0 {
		return nil
	}
	return readMany(ctx, socket, reads)
}

// prepare connects in every way.
func prepare(ctx context.Context, socket, tcp, udp string) ([]*way, error) {
	query := func() (*ntp.Response, error) {
		return ntp.QueryWithOptions(udp, ntp.QueryOptions{Timeout: time.Second})
	}
	single := func() (time.Duration, time.Duration, error) {
		r, err := query()
		if err != nil {
			return 0, 0, err
		}
		return r.ClockOffset, r.RTT / 2, nil
	}
	best := func() (time.Duration, time.Duration, error) {
		var least *ntp.Response
		for range 8 {
			r, err := query()
			if err != nil {
				return 0, 0, err
			}
			if least == nil || r.RTT < least.RTT {
				least = r
			}
		}
		return least.ClockOffset, least.RTT / 2, nil
	}
	ways := []*way{
		{name: "beevik/ntp, one query, UDP", ask: single},
		{name: "beevik/ntp, best of 8, UDP", ask: best},
		{name: "clock.SyncClock (first call), TCP", ask: func() (time.Duration, time.Duration, error) {
			c, err := clock.SyncClock(ctx, tcp)
			if err != nil {
				return 0, 0, err
			}
			return offset(c)
		}},
	}
	x, err := rpcsvc.DialTime(ctx, "unix:"+socket, rpcsvc.ClientOptions{})
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", tcp)
	if err != nil {
		return nil, err
	}
	for _, k := range []struct {
		name string
		x    clock.Exchanger
	}{{"Clock kept by Run, TCP", clock.NewWire(conn, 1)}, {"Clock kept by Run, unix socket", x}} {
		c := clock.New(k.x, clock.Options{})
		if err := c.Sync(ctx, 8); err != nil {
			return nil, err
		}
		go c.Run(ctx) // until measure ends
		ways = append(ways, &way{name: k.name, ask: func() (time.Duration, time.Duration, error) { return offset(c) }})
	}
	return ways, nil
}

func offset(c *clock.Clock) (time.Duration, time.Duration, error) {
	r := c.Report()
	if r.Master.IsZero() {
		return 0, 0, fmt.Errorf("the clock is %v: %s", r.State, r.LastAlarm)
	}
	return r.Offset, r.Bound, nil
}
