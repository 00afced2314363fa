package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// command is one process, with all that it starts, to be measured.
type command struct {
	argv   []string
	dir    string
	env    []string // besides the environment of this process
	stdout string   // file that takes it; empty: kept in the sample
}

// shell makes a command of a pipeline.
func shell(script string) command {
	return command{argv: []string{"bash", "-c", "set -o pipefail; " + script}, env: []string{"LC_ALL=C"}}
}

// String returns the command as one would type it.
func (c command) String() string {
	if len(c.argv) == 3 && c.argv[0] == "bash" {
		return strings.Join(c.env, " ") + "; " + strings.TrimPrefix(c.argv[2], "set -o pipefail; ")
	}
	words := make([]string, len(c.argv))
	for i, w := range c.argv {
		if words[i] = w; strings.ContainsAny(w, " \n\t*?[]()$;|&<>") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	s := strings.Join(slices.Concat(c.env, words), " ")
	if c.stdout != "" {
		s += " > " + c.stdout
	}
	return s
}

// sample is what one run measured.
type sample struct {
	seconds float64 // wall
	cpu     float64 // seconds of all processes
	peak    int64   // bytes of resident memory, of all processes together
	stdout  []byte
}

// measure runs c to its end.
func (c command) measure(ctx context.Context) (s sample, err error) {
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	// A group of its own, so that an interruption ends the whole pipeline.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.stdout != "" {
		f, err := os.Create(c.stdout)
		if err != nil {
			return s, err
		}
		cmd.Stdout = f
		defer func() { err = errors.Join(err, f.Close()) }()
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	peak := watchMemory(cmd.Process.Pid)
	err = cmd.Wait()
	s.seconds = time.Since(began).Seconds()
	s.peak = peak()
	s.stdout = stdout.Bytes()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
		// The largest process, which the samples may have missed if it was a short one.
		s.peak = max(s.peak, int64(usage.Maxrss)*maxrssUnit) //nolint:unconvert // of another type elsewhere
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", c.argv[0], err, lastLines(stderr.String(), 3))
	}
	return s, err
}

// lastLines returns the last lines of s as one.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}

// series is what a contestant's runs measured.
type series []sample

func (s series) each(f func(sample) float64) []float64 {
	vs := make([]float64, len(s))
	for i := range s {
		vs[i] = f(s[i])
	}
	return vs
}

func (s series) seconds() float64 { return median(s.each(func(m sample) float64 { return m.seconds })) }

func (s series) peak() int64 {
	return int64(slices.Max(append(s.each(func(m sample) float64 { return float64(m.peak) }), 0)))
}

// median returns 0 for no values.
func median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	vs = slices.Sorted(slices.Values(vs))
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}
