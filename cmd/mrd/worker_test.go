package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mrd-io/mr/clock"
	"github.com/mrd-io/mr/rpcsvc"
)

func TestWorkerFlags(t *testing.T) {
	env := func(string) string { return "" }
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--help"}, 0, "mrd worker --join ADDR"},
		{nil, 2, "needs --join ADDR"},
		{[]string{"--join", "nowhere"}, 2, "neither unix:PATH nor tcp:HOST:PORT"},
		{[]string{"--join", "unix:/" + strings.Repeat("p", 103)}, 2, "--join: the path of socket"},
		{[]string{"--join", "tcp:h:1", "--workers", "-1"}, 2, "cannot be negative"},
		{[]string{"--join", "tcp:h:1", "--memory", "much"}, 2, "no unit that is known"},
		{[]string{"--join", "tcp:h:1", "--auth", "/none"}, 5, "mrctl auth init makes the keys"},
		{[]string{"--join", "tcp:h:1", "more"}, 2, "takes flags only"},
	} {
		var out bytes.Buffer
		w := joiner{out: &out, err: &out, env: env, dir: t.TempDir(), version: "v1"}
		t.Setenv("HOME", t.TempDir())
		if status := w.main(t.Context(), c.args); status != c.status || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: status %d, %q", c.args, status, out.String())
		}
	}
}

// What killed workers have left behind goes; what others use, and other hosts', stays.
func TestSweep(t *testing.T) {
	w := joiner{host: "here", o: joinOptions{cache: filepath.Join(t.TempDir(), "a[b]c")}} // no pattern
	dead := fmt.Sprintf("tmp-here-%d-1", 1<<30)
	elsewhere, longer := fmt.Sprintf("tmp-here-%d-2", 1<<30), fmt.Sprintf("tmp-here-%d-1-2", 1<<30) // the name of a host may begin with another's
	keep := []string{fmt.Sprintf("tmp-here-%d-1", os.Getpid()), fmt.Sprintf("tmp-there-%d-1", 1<<30), "bin", "tmp-here-x", elsewhere, longer}
	for _, name := range append(keep, dead) {
		if err := os.MkdirAll(filepath.Join(w.o.cache, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(w.o.cache, elsewhere)) // by a process of another container
	if err == nil {
		err = syscall.Flock(int(held.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // nothing was written
	w.sweep()
	for _, name := range keep {
		if _, err := os.Stat(filepath.Join(w.o.cache, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(w.o.cache, dead)); err == nil {
		t.Errorf("%s is left", dead)
	}
}

func TestRedialJitter(t *testing.T) {
	least, most := time.Hour, time.Duration(0)
	for range 1000 {
		d := redial(10)
		least, most = min(least, d), max(most, d)
	}
	if least > time.Second || most < 4*time.Second || most > 6*time.Second {
		t.Errorf("from %v to %v", least, most)
	}
}

// echo is a crew whose streams say what they hear.
type echo struct{ rpcsvc.Crew }

func (echo) Stream(_ context.Context, _ uint64, conn net.Conn) error {
	_, err := io.Copy(conn, conn)
	return err
}

// A stream that the daemon turns away, since too many connect at once, is asked for again.
func TestStreamIsAskedForAgain(t *testing.T) {
	addr := "unix:" + filepath.Join(socketDir(t), "s")
	l, err := rpcsvc.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- rpcsvc.NewServer(noJobs{}, rpcsvc.ServerOptions{Crew: echo{}, MaxConns: 1}).Serve(ctx, l)
	}()
	defer func() { stop(); <-served }()
	c := dial(t, addr)
	time.AfterFunc(300*time.Millisecond, func() { c.Close() }) //nolint:errcheck // it is in the way
	w := joiner{o: joinOptions{addr: addr}}
	conn, err := w.stream(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	stop()
	if _, err := w.stream(t.Context(), 1); err == nil {
		t.Error("a stream of nobody")
	}
}

// turned is a master whose clock has been put right: its first life's was an hour ahead.
type turned struct {
	masters [2]*clock.Master
	life    int
}

func (x *turned) Exchange(_ context.Context, nonce uint64) (ex clock.Exchange, err error) {
	req := clock.Request{Nonce: nonce}
	ex.Conn, ex.Sent = uint64(x.life), time.Now()
	err = clock.NewService(x.masters[x.life]).Now(&req, &ex.Reply)
	ex.Received = time.Now()
	return ex, err
}

// A worker tells the daemon's time as it is, also when the clock of an earlier daemon was ahead of it.
func TestMomentsFollowTheDaemon(t *testing.T) {
	start := time.Now()
	master := func(ahead time.Duration) *clock.Master {
		return clock.NewMasterOf(func() (wall, mono time.Duration) {
			mono = time.Since(start) + 1
			return time.Duration(start.UnixNano()) + mono + ahead, mono
		})
	}
	x := &turned{masters: [2]*clock.Master{master(time.Hour), master(0)}}
	w := joiner{clock: clock.New(x, clock.Options{})}
	for _, ahead := range []time.Duration{time.Hour, 0} {
		if err := w.clock.Sync(t.Context(), 4); err != nil {
			t.Fatal(err)
		}
		m := w.moment()
		off := time.Until(m.Time()) - ahead
		if !m.Known || off.Abs() > time.Minute || m.Bound > time.Minute {
			t.Errorf("with a daemon that is %v ahead: off by %v ± %v", ahead, off, m.Bound)
		}
		x.life = 1
	}
}
