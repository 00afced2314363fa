package robustness

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mrd-io/mr"
)

// TestMemory sorts many times the memory that the daemon was given, half of it records
// that are all equal and so one group, into one part. What the daemon takes besides what
// the kernel caches for it stays near what it was given, whatever the input.
func TestMemory(t *testing.T) {
	t.Parallel()
	const given, slack, lines = 24 << 20, 40 << 20, 1_000_000 // of 100 bytes
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	want := equalHalf(t, in, lines)
	d := start(t, launch{store: filepath.Join(dir, "store"), flags: []string{"--memory", strconv.Itoa(given)}})
	cl := d.client()
	most, stop := watchMemory(t, d.cmd.Process.Pid)
	out := filepath.Join(dir, "out")
	id := submit(t, cl, "sort", mr.Spec{Job: "sort", Inputs: []string{in}, Output: out, Reducers: 1, SplitSize: 48 << 20})
	succeed(t, cl, id)
	close(stop)
	peak := <-most
	t.Logf("%d MiB sorted with --memory %d MiB: %d MiB at most", lines*100>>20, given>>20, peak>>20)
	if peak > given+slack {
		t.Errorf("the daemon took %d MiB", peak>>20)
	}
	if got, _ := parts(t, out); !bytes.Equal(got, want) {
		t.Errorf("the output differs: %d bytes, want %d", len(got), len(want))
	}
}

// TestMemoryOfAllAttempts gives a daemon of one worker, which has two attempts at a time, records that
// take forty times the bytes of their lines: what each may hold is so little that both of them together
// keep to what was given.
func TestMemoryOfAllAttempts(t *testing.T) {
	t.Parallel()
	const given, slack, lines = 96 << 20, 16 << 20, 4 << 20
	dir := t.TempDir()
	in := filepath.Join(dir, "in.txt")
	if err := os.WriteFile(in, bytes.Repeat([]byte("a\n"), lines), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, launch{store: filepath.Join(dir, "store"), flags: []string{"--workers", "1", "--memory", strconv.Itoa(given)}})
	most, stop := watchMemory(t, d.cmd.Process.Pid)
	out := filepath.Join(dir, "out")
	id := submit(t, d.client(), "grep", mr.Spec{Job: "grep", Args: []string{"a"}, Inputs: []string{in}, Output: out, SplitSize: 5 << 19})
	succeed(t, d.client(), id)
	close(stop)
	peak := <-most
	t.Logf("--memory %d MiB: %d MiB at most", given>>20, peak>>20)
	if peak > given+slack {
		t.Errorf("the daemon took %d MiB", peak>>20)
	}
}

// equalHalf writes records, every other one the same, and returns them sorted.
func equalHalf(t *testing.T, path string, lines int) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 5))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	same := strings.Repeat("m", 99)
	var others []string
	for i := range lines {
		line := same
		if i%2 == 0 {
			line = fmt.Sprintf("%016x%083d", rng.Uint64(), i)
			others = append(others, line)
		}
		w.WriteString(line) //nolint:errcheck // Flush tells
		w.WriteByte('\n')   //nolint:errcheck // likewise
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(others) // hexadecimal digits: all of them before m
	var want bytes.Buffer
	for _, line := range others {
		want.WriteString(line + "\n")
	}
	want.WriteString(strings.Repeat(same+"\n", lines-len(others)))
	return want.Bytes()
}

// watchMemory samples the anonymous memory of a process until stop is closed, and then
// tells the most that it saw.
func watchMemory(t *testing.T, pid int) (most chan int, stop chan struct{}) {
	most, stop = make(chan int, 1), make(chan struct{})
	go func() {
		peak := 0
		for {
			peak = max(peak, anonymous(pid))
			select {
			case <-stop:
				most <- peak
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
	})
	return most, stop
}

func anonymous(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if kib, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.Atoi(strings.Fields(kib)[0])
			return n << 10
		}
	}
	return 0
}
