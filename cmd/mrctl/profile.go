package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	mr "github.com/mrd-io/mr"
)

// profiled runs fn with profiles written to dir: cpu.pprof from beginning to end, and
// heap.pprof as it is at the end. They are of this process: of the engine and the
// built-in jobs, and not of authors' binaries. With no dir it just runs fn.
func profiled(dir string, fn func() error) error {
	if dir == "" {
		return fn()
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return mr.Errorf(mr.Failed, "--profile: %w", err)
	}
	cpu, err := os.Create(filepath.Join(dir, "cpu.pprof"))
	if err != nil {
		return mr.Errorf(mr.Failed, "--profile: %w", err)
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		cpu.Close() //nolint:errcheck // nothing was written
		return mr.Errorf(mr.Failed, "--profile: %w", err)
	}
	result := fn()
	pprof.StopCPUProfile()
	err = errors.Join(cpu.Close(), writeHeap(filepath.Join(dir, "heap.pprof")))
	if result == nil && err != nil {
		return mr.Errorf(mr.Failed, "--profile: %w", err)
	}
	return result
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	runtime.GC() // up-to-date figures
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}
