package rpcsvc

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr/clock"
)

const (
	realSkew = 400 * 24 * time.Hour
	realPPM  = 37 // the server's clock gains this on the machine's
)

// rawMono is a clock that all processes of the machine share, so that both sides of
// the test below can compute the truth.
func rawMono() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// driftingClock is the server's clock at a reading of rawMono.
func driftingClock(raw time.Duration) (wall, mono time.Duration) {
	mono = raw + raw/1_000_000*realPPM
	return mono + realSkew + 1_700_000_000*time.Second, mono
}

func TestMain(m *testing.M) {
	if path := os.Getenv("MR_TEST_TIME_SERVER"); path != "" {
		l, err := Listen("unix:" + path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			bufio.NewReader(os.Stdin).ReadByte() // the parent ended
			cancel()
		}()
		master := clock.NewMasterOf(func() (wall, mono time.Duration) { return driftingClock(rawMono()) })
		fmt.Println("ready")
		if err := NewServer(newFakeJobs(), ServerOptions{Clock: master}).Serve(ctx, l); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// timeServer starts a process that serves driftingClock.
func timeServer(t testing.TB) (addr string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MR_TEST_TIME_SERVER="+path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return "unix:" + path
}

// TestTimeBetweenProcesses keeps a clock of another process's skewed and drifting one,
// and checks every reading against the truth. MR_CLOCK_READS sets how many; the long form
// is 100,000. The figures it logs are those of bench/RESULTS.md.
func TestTimeBetweenProcesses(t *testing.T) {
	reads := 1000
	if v := os.Getenv("MR_CLOCK_READS"); v != "" {
		var err error
		if reads, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	x, err := DialTime(t.Context(), timeServer(t), ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	c := clock.New(x, clock.Options{})
	if err := c.Sync(t.Context(), 16); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx) }()
	var wrong, bound []time.Duration
	var high time.Time
	for range reads {
		before := rawMono()
		lo, hi, err := c.Interval()
		after := rawMono()
		if err != nil {
			t.Fatal(err)
		}
		first, _ := driftingClock(before)
		last, _ := driftingClock(after)
		if hi.UnixNano() < int64(first) || lo.UnixNano() > int64(last) {
			t.Fatalf("[%d, %d] misses the truth in [%d, %d]", lo.UnixNano(), hi.UnixNano(), first, last)
		}
		r, _, err := c.Reading()
		if err != nil || r.Before(high) {
			t.Fatalf("reading %v after %v, %v", r, high, err)
		}
		high = r
		if after-before < 5*time.Microsecond { // else the truth is too vague to tell the error
			mid := lo.Add(hi.Sub(lo) / 2).UnixNano()
			wrong = append(wrong, time.Duration(mid-int64(first+last)/2).Abs())
			bound = append(bound, hi.Sub(lo)/2)
		}
		time.Sleep(50 * time.Microsecond)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
	slices.Sort(wrong)
	slices.Sort(bound)
	if len(wrong) == 0 {
		t.Fatal("no reading was quick enough to be judged")
	}
	rep := c.Report()
	t.Logf("%d reads, all inside; |error| p50 %v p99 %v; bound p50 %v p99 %v; %d samples, %d refused, RTT min %v median %v, drift %.1f ± %.1f ppm, %d alarms",
		reads, wrong[len(wrong)/2], wrong[len(wrong)*99/100], bound[len(bound)/2], bound[len(bound)*99/100],
		rep.Used, rep.Refused, rep.RTTMin, rep.RTTMedian, rep.Drift, rep.DriftErr, rep.Alarms)
}
