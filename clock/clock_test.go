package clock

import (
	"context"
	"errors"
	"io"
	"net"
	"net/rpc"
	"path/filepath"
	"testing"
	"time"
)

// skewed is a Master whose clock is off by skew and gains ppm.
func skewed(skew time.Duration, ppm float64) *Master {
	start := time.Now()
	return newMaster(func() (wall, mono time.Duration) {
		mono = time.Since(start)
		mono += time.Duration(float64(mono)*ppm*1e-6) + 1
		return time.Duration(start.UnixNano()) + skew + mono, mono
	}, randomEpoch())
}

// show reads a Master's clock.
func (m *Master) show() time.Time {
	_, mono := m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Unix(0, int64(m.base+mono))
}

// serve offers m by stock net/rpc on a unix socket.
func serve(t testing.TB, m *Master) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := rpc.NewServer()
	if err := s.RegisterName("Time", NewService(m)); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(conn)
		}
	}()
	return path
}

// contains checks one reading against a master in the same process, whose clock is
// read before and after.
func contains(t testing.TB, c *Clock, m *Master) {
	t.Helper()
	before := m.show()
	lo, hi, err := c.Interval()
	after := m.show()
	if err != nil {
		t.Fatal(err)
	}
	if hi.Before(before) || lo.After(after) {
		t.Fatalf("[%v, %v] misses the truth, between %v and %v", lo, hi, before, after)
	}
}

func TestSyncTime(t *testing.T) {
	m := skewed(3*365*24*time.Hour, 30)
	path := serve(t, m)
	got, err := SyncTime("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if d := m.show().Sub(got); d < -time.Second || d > time.Second {
		t.Errorf("off by %v", d)
	}
	c, err := SyncClock(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	contains(t, c, m)
	r := c.Report()
	if r.State != Synced || r.Used < 3 || r.Warmup != 1 || r.RTTMin <= 0 || r.RTTMedian < r.RTTMin || r.Bound <= 0 {
		t.Errorf("report %+v", r)
	}
	if d := r.Offset - 3*365*24*time.Hour; d.Abs() > time.Second {
		t.Errorf("offset %v", r.Offset)
	}
}

func TestSyncTimeNobodyThere(t *testing.T) {
	if _, err := SyncTime("unix:" + filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error")
	}
}

func TestUnsyncedIsAnError(t *testing.T) {
	c := New(silent{}, Options{})
	if _, _, err := c.Now(); !errors.Is(err, ErrUnsynced) {
		t.Errorf("Now: %v", err)
	}
	if _, _, err := c.Reading(); !errors.Is(err, ErrUnsynced) {
		t.Errorf("Reading: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Sync(ctx, 1); !errors.Is(err, ErrUnsynced) || !errors.Is(err, errSilent) {
		t.Errorf("Sync: %v", err)
	}
}

type silent struct{}

var errSilent = errors.New("silent")

func (silent) Exchange(context.Context, uint64) (Exchange, error) { return Exchange{}, errSilent }

func TestRunKeepsTheTruthInside(t *testing.T) {
	m := skewed(-26*time.Hour, -45)
	path := serve(t, m)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWire(conn, 1)
	defer w.Close()
	c := New(w, Options{Interval: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- c.Run(ctx) }()
	for c.State() != Synced {
		time.Sleep(time.Millisecond)
	}
	var last time.Time
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
		contains(t, c, m)
		r, _, err := c.Reading()
		if err != nil || r.Before(last) {
			t.Fatalf("reading %v after %v, %v", r, last, err)
		}
		last = r
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestOneSidedDelay puts 20 ms before every request and none after: the estimate is
// off, and the bound says by how much it may be.
func TestOneSidedDelay(t *testing.T) {
	m := skewed(time.Hour, 0)
	far, err := net.Dial("unix", serve(t, m))
	if err != nil {
		t.Fatal(err)
	}
	near, inner := net.Pipe()
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := inner.Read(buf)
			if err != nil {
				far.Close()
				return
			}
			time.Sleep(20 * time.Millisecond)
			far.Write(buf[:n])
		}
	}()
	go func() {
		io.Copy(inner, far)
		inner.Close()
	}()
	w := NewWire(near, 1)
	defer w.Close()
	c := New(w, Options{})
	if err := c.Sync(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	contains(t, c, m)
	_, unc, err := c.Now()
	if err != nil || unc < 9*time.Millisecond {
		t.Errorf("uncertainty %v, %v; want half of what the delay hides", unc, err)
	}
}

func TestWireGivesUp(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go io.Copy(io.Discard, far)
	w := NewWire(near, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.Exchange(ctx, 1); !errors.Is(err, context.DeadlineExceeded) || !w.Broken() {
		t.Errorf("got %v, broken %v", err, w.Broken())
	}
	if _, err := w.Exchange(t.Context(), 2); err == nil {
		t.Error("a broken wire answered")
	}
}

func TestMasterChangesEpochAtAStep(t *testing.T) {
	wall, mono := time.Duration(1e18), time.Duration(1e9)
	m := newMaster(func() (time.Duration, time.Duration) { return wall, mono }, 5)
	var a, b, c Reply
	m.answer(&Request{Nonce: 1}, &a)
	wall, mono = wall+time.Second, mono+time.Second
	m.answer(&Request{Nonce: 2}, &b)
	if b.Epoch != a.Epoch || b.T2-a.T2 != int64(time.Second) {
		t.Errorf("a second later: %+v after %+v", b, a)
	}
	wall += time.Hour
	m.answer(&Request{Nonce: 3}, &c)
	if c.Epoch == b.Epoch || c.T2 != int64(wall) {
		t.Errorf("after a step: %+v", c)
	}
}

func TestArrivedAndDeparting(t *testing.T) {
	mono := time.Duration(100)
	m := newMaster(func() (time.Duration, time.Duration) { return 1e18 + mono, mono }, 5)
	var req Request
	var rep Reply
	req.Arrived(m)
	mono = 150
	m.answer(&req, &rep)
	mono = 170
	rep.Departing()
	if rep.T2 != 1e18+100 || rep.T3 != 1e18+170 {
		t.Errorf("got %d, %d", rep.T2-1e18, rep.T3-1e18)
	}
}

func TestSampleChecks(t *testing.T) {
	good := Sample{Sent: 1000, Received: 3000, Nonce: 9, Reply: Reply{Nonce: 9, Epoch: 1, T2: 50_000, T3: 51_000}}
	if err := good.check(drift(50)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		want error
		make func(s *Sample)
	}{
		{ErrNonce, func(s *Sample) { s.Reply.Nonce = 8 }},
		{ErrReply, func(s *Sample) { s.Reply.Epoch = 0 }},
		{ErrReply, func(s *Sample) { s.Reply.T2 = -1 }},
		{ErrReply, func(s *Sample) { s.Reply.T3 = 1 << 62 }},
		{ErrOrder, func(s *Sample) { s.Reply.T3 = 49_999 }},
		{ErrTooLong, func(s *Sample) { s.Reply.T3 = 53_000 }},
		{ErrSpan, func(s *Sample) { s.Received = 999 }},
	} {
		s := good
		tc.make(&s)
		if err := s.check(drift(50)); err != tc.want {
			t.Errorf("%+v: %v; want %v", s, err, tc.want)
		}
	}
}

func TestHoldoverAndMaxBound(t *testing.T) {
	w := newWorld(3)
	w.delay = func() int64 { return 1000 }
	w.core = NewCore(Options{HoldoverAfter: time.Second, MaxBound: time.Millisecond})
	for range 5 {
		w.ask()
	}
	for _, step := range []struct {
		wait time.Duration
		want State
	}{{0, Synced}, {2 * time.Second, Holdover}, {20 * time.Second, Unsynced}} {
		w.t += int64(step.wait)
		if st := w.core.State(w.local()); st != step.want {
			t.Errorf("%v later: %v; want %v", step.wait, st, step.want)
		}
	}
	w.ask()
	if st := w.core.State(w.local()); st != Synced {
		t.Errorf("after another sample: %v", st)
	}
}

func TestDriftReport(t *testing.T) {
	w := newWorld(4)
	w.delay = func() int64 { return 10_000 }
	w.master.ppb, w.mono.ppb = 30_000, -10_000
	for range 200 {
		w.ask()
		w.t += int64(time.Second)
	}
	if r := w.core.Report(w.local()); r.Drift < 39 || r.Drift > 41 || r.DriftErr <= 0 || r.DriftErr > 1 {
		t.Errorf("drift %v ± %v ppm; want 40", r.Drift, r.DriftErr)
	}
}

// BenchmarkNow is the cost of a reading; no exchange is made.
func BenchmarkNow(b *testing.B) {
	c, err := SyncClock(b.Context(), "unix:"+serve(b, NewMaster()))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, _, err := c.Now(); err != nil && !errors.Is(err, ErrDisrupted) {
			b.Fatal(err)
		}
	}
}
