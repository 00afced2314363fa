package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	mr "github.com/mrd-io/mr"
)

// binaries are the executables of a job: the one at path, and, where the stages were built apart, another
// at forMap that holds the map stage alone.
type binaries struct{ path, forMap string }

// findBinaries finds the job binary that JOB names, and builds it first if JOB is a Go package or file.
// done removes what was built.
func (a *app) findBinaries(ctx context.Context, b builtins, job string) (found binaries, done func(), err error) {
	none := func() {}
	path := b.path(job)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular() && filepath.Ext(path) != ".go":
		if info.Mode()&0o111 == 0 {
			return found, none, mr.Errorf(mr.Usage, "%s is a file that may not be executed: a job binary needs chmod +x, and a Go package is named by its folder", job)
		}
		return binaries{path: path}, none, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return found, none, mr.Errorf(mr.Usage, "job %s: %w", job, err)
	case err != nil && (filepath.IsAbs(job) || job[0] == '.'):
		return found, none, mr.Errorf(mr.Usage, "job %s: there is no such folder or file", job)
	}
	return a.build(ctx, job, path)
}

// checkProgram refuses what go build leaves for a package that is no main: an archive, or nothing.
func checkProgram(job, binary string) error {
	var magic [8]byte
	f, err := os.Open(binary)
	if err == nil {
		_, err = f.Read(magic[:])
		err = errors.Join(err, f.Close())
	}
	if err != nil || string(magic[:]) == "!<arch>\n" {
		return mr.Errorf(mr.Usage, "%s is not a program: a job's package is 'package main' and its main function calls mr.Main", job)
	}
	return nil
}

// moduleOf returns the folder of the go.mod that governs dir, or "".
func moduleOf(dir string) string {
	for {
		if exists(filepath.Join(dir, "go.mod")) {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}
