package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	mr "github.com/mrd-io/mr"
)

// buildFlags and linkFlags make a binary that depends on its sources alone: the same package builds to the
// same bytes anywhere, so that its digest, which is the code's identity, means the code.
var buildFlags = [...]string{"build", "-trimpath", "-buildvcs=false"}

const linkFlags = "-s -w -buildid="

// goTarget is a Go package or file to build: what to name to the go command, and in which folder.
type goTarget struct {
	tool, dir, arg string
	own            goFlags
}

// goFlags are those of the user's GOFLAGS that a flag on a command line of ours would take the place of.
type goFlags struct {
	tags, link, overlay string
	opaque              bool // a program of the user's has a hand in the build
}

// tags is the flag that builds a role, with the user's own build tags.
func (t goTarget) tags(role string) string {
	return "-tags=" + strings.TrimSuffix(role+","+t.own.tags, ",")
}

// ownFlags reads the user's GOFLAGS.
func (t goTarget) ownFlags(ctx context.Context) (own goFlags, err error) {
	v, ok := t.goEnv(ctx, "GOFLAGS")
	if !ok {
		return goFlags{opaque: true}, nil // the build will say why
	}
	for _, f := range quotedFields(v[0]) {
		name, value, _ := strings.Cut(f, "=")
		switch strings.TrimLeft(name, "-") {
		case "tags":
			tags := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
			slices.Sort(tags) // they are in the binary
			own.tags = strings.Join(slices.Compact(tags), ",")
		case "ldflags":
			if value != "" && !strings.HasPrefix(value, "-") {
				return own, mr.Errorf(mr.Usage, "GOFLAGS has -ldflags=%s, for packages of some pattern; a job is linked as one program: leave the pattern out, or build the job yourself and name the binary", value)
			}
			own.link = value
		case "overlay":
			own.overlay = value
		case "toolexec":
			own.opaque = true
		}
	}
	return own, nil
}

// quotedFields splits GOFLAGS as the go command does: at white space, but for what is quoted as a whole.
func quotedFields(s string) (fields []string) {
	for {
		s = strings.TrimLeft(s, " \t\r\n")
		if s == "" {
			return fields
		}
		f, rest := s, ""
		if quote := s[0]; quote == '"' || quote == '\'' {
			f, rest, _ = strings.Cut(s[1:], string(quote))
		} else if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
			f, rest = s[:i], s[i:]
		}
		fields, s = append(fields, f), rest
	}
}

// targetOf finds out how to build what was typed as job and is at path, if it is no import path.
func (a *app) targetOf(job, path string) (t goTarget, err error) {
	if t.tool, err = exec.LookPath("go"); err != nil {
		return t, mr.Errorf(mr.Usage, "job %s is a Go package, and there is no go command to build it with; install Go (https://go.dev/dl), or build the job elsewhere and name the binary", job)
	}
	t.dir = a.dir
	switch info, err := os.Stat(path); {
	case err != nil:
		t.arg = job
	case !info.IsDir():
		t.arg, t.dir = filepath.Base(path), filepath.Dir(path)
	case moduleOf(path) == moduleOf(a.dir) && !filepath.IsAbs(job):
		// Built from here, the compiler's messages name files as the reader would.
		t.arg = "./" + filepath.ToSlash(filepath.Clean(job))
	default:
		t.arg, t.dir = ".", path
	}
	return t, nil
}

// build compiles a Go package, or file, into two binaries: one of the map stage and one of the reduce
// stage, each without the other's code. So an edit of the reducer leaves the binary of the map stage as
// it was, and with it the keys of the map outputs. What was built before is used again while none of its
// sources has changed.
func (a *app) build(ctx context.Context, job, path string) (binaries, func(), error) {
	none := func() {}
	t, err := a.targetOf(job, path)
	if err != nil {
		return binaries{}, none, err
	}
	cache := a.builds()
	if found, ok := cache.find(t); ok {
		return found, none, nil
	}
	if t.own, err = t.ownFlags(ctx); err != nil {
		return binaries{}, none, err
	}
	temp, err := os.MkdirTemp(a.env("GOTMPDIR"), "mrctl-build-*")
	if err != nil {
		return binaries{}, none, mr.Errorf(mr.Failed, "no folder to build %s in: %w", job, err)
	}
	done := func() {
		// A leftover in the temporary folder is the system's to clean.
		_ = os.RemoveAll(temp)
	}
	sources := cache.begin(ctx, t)
	built := binaries{path: filepath.Join(temp, "reduce"), forMap: filepath.Join(temp, "map")}
	if err := t.buildRoles(ctx, job, built); err != nil {
		done()
		return binaries{}, none, err
	}
	if kept, ok := cache.keep(t, sources, built); ok {
		done()
		return kept, none, nil
	}
	return built, done, nil
}

// buildRoles runs the two builds side by side.
func (t goTarget) buildRoles(ctx context.Context, job string, to binaries) error {
	var forMap error
	var other sync.WaitGroup
	other.Go(func() { forMap = t.buildRole(ctx, job, "mr_map", to.forMap) })
	err := t.buildRole(ctx, job, "mr_reduce", to.path)
	other.Wait()
	if err != nil {
		return err
	}
	return forMap
}

// buildRole builds one role: of sources that don't show edits of the other if there can be such, and else
// as it stands, which also has the compiler's messages name the author's lines.
func (t goTarget) buildRole(ctx context.Context, job, tag, to string) error {
	if overlay := t.overlay(ctx, tag, filepath.Dir(to)); overlay != "" {
		if t.compile(ctx, job, to, t.tags(tag), "-overlay="+overlay) == nil {
			return nil
		}
	}
	return t.compile(ctx, job, to, t.tags(tag))
}

func (t goTarget) compile(ctx context.Context, job, to string, flags ...string) error {
	cmd := exec.CommandContext(ctx, t.tool, buildFlags[:]...)
	cmd.Args = append(append(cmd.Args, "-ldflags="+strings.TrimSpace(t.own.link+" "+linkFlags)), flags...)
	cmd.Args = append(cmd.Args, "-o", to, t.arg)
	cmd.Dir = t.dir
	// Interrupted, it leaves its temporary folder, and compilers that still write there: both go with ours.
	cmd.Env = append(os.Environ(), "GOTMPDIR="+filepath.Dir(to))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return mr.Errorf(mr.Failed, "%s does not build:\n%s", job, orElse(strings.TrimSpace(words.String()), err.Error()))
	}
	return checkProgram(job, to)
}
