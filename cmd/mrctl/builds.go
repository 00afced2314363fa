package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	stamps "github.com/mrd-io/mr/input"
)

// builds remembers what was built of which sources, in the user's cache folder, so that a run of an
// unchanged package needs no go command. It looks at the stamps of every source file outside of the
// module cache and the standard library, at the names in the folders they are in, at go.mod and its kin, and at the
// go command itself; and at the environment that the go command heeds. Packages with embedded files or C
// are always built: their sources can't be listed as simply.
type builds struct {
	dir string // "": remember nothing
	env []string
}

func (a *app) builds() builds {
	dir := a.env("XDG_CACHE_HOME")
	if home := a.env("HOME"); !filepath.IsAbs(dir) && filepath.IsAbs(home) {
		dir = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(dir) {
		return builds{}
	}
	return builds{dir: filepath.Join(dir, "mr", "builds"), env: goEnvironment(os.Environ())}
}

// goEnvironment are the variables that may change what the go command builds.
func goEnvironment(all []string) (some []string) {
	for _, v := range all {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "CGO_") || name == "CC" || name == "CXX" || name == "PATH" {
			some = append(some, v)
		}
	}
	slices.Sort(some)
	return some
}

// sourceStamp is the stamp of a source.
type sourceStamp struct {
	Path  string
	Stamp stamps.Stamp
}

// sources are what a build reads.
type sources struct {
	Files []sourceStamp
	Dirs  map[string][]string // the names of the Go files in each package's folder
}

// buildRecord says what was built, and of what.
type buildRecord struct {
	Version     int
	Sources     sources
	Reduce, Map string // names of binaries: their SHA-256
}

const buildVersion1 = 1

func (b builds) recordPath(t goTarget) string {
	h := sha256.New()
	for _, s := range append([]string{t.tool, t.dir, t.arg}, b.env...) {
		_, _ = io.WriteString(h, s+"\x00") // a hash takes everything
	}
	return filepath.Join(b.dir, hex.EncodeToString(h.Sum(nil)[:16])+".json")
}

// find returns the binaries of t if nothing they were made of has changed.
func (b builds) find(t goTarget) (found binaries, ok bool) {
	if b.dir == "" {
		return found, false
	}
	data, err := os.ReadFile(b.recordPath(t))
	if err != nil {
		return found, false
	}
	var r buildRecord
	if json.Unmarshal(data, &r) != nil || r.Version != buildVersion1 || len(r.Sources.Files) == 0 {
		return found, false
	}
	for dir, names := range r.Sources.Dirs {
		if now, err := sourcesIn(dir); err != nil || !slices.Equal(now, names) {
			return found, false
		}
	}
	for _, s := range r.Sources.Files {
		if now, _, err := stamps.StampFile(s.Path, time.Now()); err != nil || now != s.Stamp {
			return found, false
		}
	}
	found = binaries{path: filepath.Join(b.dir, r.Reduce), forMap: filepath.Join(b.dir, r.Map)}
	return found, exists(found.path) && exists(found.forMap)
}

// begin lists and stamps the sources of t, before they are built. It returns nil if what is built of them
// cannot be remembered: they have just been changed, or can't be listed.
func (b builds) begin(ctx context.Context, t goTarget) *sources {
	if b.dir == "" {
		return nil
	}
	const format = `{{if not .Standard}}{{.Dir}}{{"\t"}}{{len .CgoFiles}} {{len .EmbedPatterns}} {{len .CFiles}} {{len .SFiles}}{{"\t"}}{{with .Module}}{{.GoMod}}{{end}}{{end}}`
	list := exec.CommandContext(ctx, t.tool, "list", "-deps", "-f", format, t.arg)
	list.Dir = t.dir
	out, err := list.Output()
	if err != nil {
		return nil // the build will say why
	}
	env := exec.CommandContext(ctx, t.tool, "env", "GOMOD", "GOWORK", "GOENV", "GOMODCACHE", "GOROOT", "GOFLAGS")
	env.Dir = t.dir
	vars, err := env.Output()
	if err != nil {
		return nil
	}
	v := strings.Split(strings.TrimRight(string(vars), "\n"), "\n")
	if len(v) != 6 || strings.ContainsAny(v[5], "/.\\") {
		return nil // GOFLAGS that name a file (-overlay, -modfile, -toolexec) bring in what is not listed
	}
	paths := []string{t.tool, filepath.Join(v[4], "VERSION")}
	for _, f := range v[:3] {
		if filepath.IsAbs(f) && exists(f) {
			paths = append(paths, f)
		}
	}
	dirs := map[string][]string{}
	for _, line := range strings.Split(string(out), "\n") {
		f := strings.Split(line, "\t")
		switch {
		case line == "" || strings.HasPrefix(f[0], v[3]+string(filepath.Separator)):
			continue
		case len(f) != 3 || f[1] != "0 0 0 0":
			return nil
		}
		names, err := sourcesIn(f[0])
		if err != nil {
			return nil
		}
		dirs[f[0]] = names
		for _, n := range names {
			paths = append(paths, filepath.Join(f[0], n))
		}
		if f[2] != "" {
			paths = append(paths, f[2])
		}
	}
	if files := stampAll(paths); files != nil {
		return &sources{Files: files, Dirs: dirs}
	}
	return nil
}

// sourcesIn lists the names of the files in a package's folder that go into a build of Go alone, whatever
// tags they need.
func sourcesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".go", ".pgo", ".syso":
			names = append(names, e.Name())
		}
	}
	return names, err
}

// stampAll returns nil if a stamp is too young to vouch for what will be read.
func stampAll(paths []string) (all []sourceStamp) {
	now := time.Now()
	slices.Sort(paths)
	for _, p := range slices.Compact(paths) {
		s, settled, err := stamps.StampFile(p, now)
		if err != nil || !settled {
			return nil
		}
		all = append(all, sourceStamp{p, s})
	}
	return all
}

// keep moves what was built into the cache, and remembers of what. A cache that can't be written is no
// error: the next run builds again.
func (b builds) keep(t goTarget, of *sources, built binaries) (kept binaries, ok bool) {
	if of == nil || os.MkdirAll(b.dir, 0o700) != nil {
		return kept, false
	}
	r := buildRecord{Version: buildVersion1, Sources: *of}
	for _, f := range []struct{ from, name *string }{{&built.path, &r.Reduce}, {&built.forMap, &r.Map}} {
		data, err := os.ReadFile(*f.from)
		if err != nil {
			return kept, false
		}
		sum := sha256.Sum256(data)
		*f.name = hex.EncodeToString(sum[:])
		if writeWhole(filepath.Join(b.dir, *f.name), data, 0o700) != nil {
			return kept, false
		}
	}
	data, err := json.Marshal(r)
	if err != nil || writeWhole(b.recordPath(t), data, 0o600) != nil {
		return kept, false
	}
	return binaries{path: filepath.Join(b.dir, r.Reduce), forMap: filepath.Join(b.dir, r.Map)}, true
}

// writeWhole writes a file under another name and renames it: others see all of it, or nothing.
func writeWhole(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	for _, step := range []func() error{
		func() error { return tmp.Chmod(mode) },
		tmp.Close,
	} {
		if e := step(); err == nil {
			err = e
		}
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the error above is the one to tell
	}
	return err
}
