package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	mr "github.com/mrd-io/mr"
)

// binaryPath finds the job binary that JOB names, and builds it first if JOB is a Go package or file.
// done removes what was built.
func (a *app) binaryPath(ctx context.Context, b builtins, job string) (path string, done func(), err error) {
	none := func() {}
	path = b.path(job)
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular() && filepath.Ext(path) != ".go":
		if info.Mode()&0o111 == 0 {
			return "", none, mr.Errorf(mr.Usage, "%s is a file that may not be executed: a job binary needs chmod +x, and a Go package is named by its folder", job)
		}
		return path, none, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", none, mr.Errorf(mr.Usage, "job %s: %w", job, err)
	case err != nil && (filepath.IsAbs(job) || job[0] == '.'):
		return "", none, mr.Errorf(mr.Usage, "job %s: there is no such folder or file", job)
	}
	return a.build(ctx, job, path)
}

// build compiles the Go package, or file, that was typed as job and is at path if it is not an import
// path.
func (a *app) build(ctx context.Context, job, path string) (string, func(), error) {
	none := func() {}
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", none, mr.Errorf(mr.Usage, "job %s is a Go package, and there is no go command to build it with; install Go (https://go.dev/dl), or build the job elsewhere and name the binary", job)
	}
	temp, err := os.MkdirTemp("", "mrctl-build-*")
	if err != nil {
		return "", none, mr.Errorf(mr.Failed, "no folder to build %s in: %w", job, err)
	}
	done := func() {
		// A leftover in the temporary folder is the system's to clean.
		_ = os.RemoveAll(temp)
	}
	binary := filepath.Join(temp, "job")
	// These flags make a binary that depends on its sources alone: the same package builds to the same
	// bytes anywhere, so that its digest, which is the code's identity, means the code.
	cmd := exec.CommandContext(ctx, tool, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", binary)
	cmd.Dir = a.dir
	switch info, err := os.Stat(path); {
	case err != nil:
		cmd.Args = append(cmd.Args, job)
	case !info.IsDir():
		cmd.Args, cmd.Dir = append(cmd.Args, filepath.Base(path)), filepath.Dir(path)
	case moduleOf(path) == moduleOf(a.dir) && !filepath.IsAbs(job):
		// Built from here, the compiler's messages name files as the reader would.
		cmd.Args = append(cmd.Args, "./"+filepath.ToSlash(filepath.Clean(job)))
	default:
		cmd.Args, cmd.Dir = append(cmd.Args, "."), path
	}
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Run(); err != nil {
		done()
		if ctx.Err() != nil {
			return "", none, ctx.Err()
		}
		return "", none, mr.Errorf(mr.Failed, "%s does not build:\n%s", job, orElse(strings.TrimSpace(words.String()), err.Error()))
	}
	if err := checkProgram(job, binary); err != nil {
		done()
		return "", none, err
	}
	return binary, done, nil
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
