package main

import (
	"bytes"
	"cmp"
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
// module cache and the standard library, at the names in the folders they are in, at go.mod and its kin, also
// where there is none yet, and at the go command itself; and at the environment that the go command heeds.
// Packages with embedded files, C, or headers of their own for assembler are always built: their sources can't be
// listed as simply. What was used longest ago goes when there is much.
type builds struct {
	dir  string // "": remember nothing
	env  []string
	most int64 // bytes to keep; 0: buildsMost
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
		switch {
		case strings.HasPrefix(name, "GO"), strings.HasPrefix(name, "CGO_"), name == "CC", name == "CXX", name == "PATH":
			some = append(some, v)
		case name == "HOME", name == "XDG_CONFIG_HOME": // where go env -w writes
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
	Files  []sourceStamp
	Absent []string            // files that the go command would heed if they were there
	Dirs   map[string][]string // the names of the Go files in each package's folder
}

// buildRecord says what was built, and of what.
type buildRecord struct {
	Version     int
	Sources     sources
	Reduce, Map string // names of binaries: their SHA-256
}

// buildsVersion is raised when what was recorded before must not be believed.
const buildsVersion = 2

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
	if json.Unmarshal(data, &r) != nil || r.Version != buildsVersion || len(r.Sources.Files) == 0 {
		return found, false
	}
	if !r.Sources.unchanged() {
		return found, false
	}
	found = binaries{path: filepath.Join(b.dir, r.Reduce), forMap: filepath.Join(b.dir, r.Map)}
	now := time.Now()
	for _, used := range []string{b.recordPath(t), found.path, found.forMap} {
		_ = os.Chtimes(used, now, now) // what can't be marked as used goes earlier, and is built again
	}
	return found, intact(found.path) && intact(found.forMap)
}

// unchanged reports whether all sources are as they were.
func (s *sources) unchanged() bool {
	for dir, names := range s.Dirs {
		if now, err := sourcesIn(dir); err != nil || !slices.Equal(now, names) {
			return false
		}
	}
	for _, f := range s.Files {
		if now, _, err := stamps.StampFile(f.Path, time.Now()); err != nil || now != f.Stamp {
			return false
		}
	}
	return !slices.ContainsFunc(s.Absent, exists)
}

// intact reports whether a binary is the one that it is named after. The cache is not synced: a power cut
// can leave a name without its bytes.
func intact(path string) bool {
	data, err := os.ReadFile(path)
	sum := sha256.Sum256(data)
	return err == nil && filepath.Base(path) == hex.EncodeToString(sum[:])
}

// begin lists and stamps the sources of t, before they are built. It returns nil if what is built of them
// cannot be remembered: they have just been changed, or can't be listed.
func (b builds) begin(ctx context.Context, t goTarget) *sources {
	if b.dir == "" {
		return nil
	}
	v, ok := t.goEnv(ctx, "GOMOD", "GOWORK", "GOENV", "GOMODCACHE", "GOROOT", "GOFLAGS")
	if !ok || namesFiles(v[5]) {
		return nil
	}
	s := &sources{Dirs: map[string][]string{}}
	paths := []string{t.tool, filepath.Join(v[4], "VERSION")}
	heeded := []string{filepath.Join(v[4], "go.env")}
	for _, f := range v[:3] {
		if filepath.IsAbs(f) {
			heeded = append(heeded, f)
		}
	}
	listed, ok := t.listSources(ctx, v[1] != "" && v[1] != "off")
	if !ok {
		return nil
	}
	folders := []string{t.dir}
	for _, f := range listed {
		if f.dir == "" {
			paths = append(paths, f.mod)
		}
		if f.dir == "" || strings.HasPrefix(f.dir, v[3]+string(filepath.Separator)) {
			continue
		}
		if f.more {
			return nil
		}
		names, err := sourcesIn(f.dir)
		if err != nil {
			return nil
		}
		s.Dirs[f.dir] = names
		folders = append(folders, f.dir)
		for _, n := range names {
			path := filepath.Join(f.dir, n)
			if filepath.Ext(n) == ".s" && includesMore(path) {
				return nil
			}
			paths = append(paths, path)
		}
		if f.mod != "" {
			paths = append(paths, f.mod)
		}
	}
	for _, f := range append(heeded, modFiles(folders)...) {
		if exists(f) {
			paths = append(paths, f)
		} else {
			s.Absent = append(s.Absent, f)
		}
	}
	if s.Files = stampAll(paths); s.Files == nil {
		return nil
	}
	return s
}

// includesMore reports whether an assembler file may include more than the toolchain's headers. The word anywhere
// else is enough: the assembler reads a # in many ways.
func includesMore(path string) bool {
	text, err := os.ReadFile(path)
	for _, header := range [...]string{"textflag.h", "funcdata.h", "go_asm.h"} {
		text = bytes.ReplaceAll(text, []byte(`#include "`+header+`"`), nil)
	}
	return err != nil || bytes.Contains(text, []byte("include"))
}

// namesFiles reports whether GOFLAGS have flags that bring in what is not listed: files, and programs.
func namesFiles(flags string) bool {
	return strings.ContainsAny(flags, "/.\\") || slices.ContainsFunc([]string{"-overlay", "-modfile", "-toolexec", "-pgo"}, func(f string) bool {
		return strings.Contains(flags, f)
	})
}

// modFiles are the files in some folders, and in those they are in, that decide where packages are
// taken from.
func modFiles(folders []string) (files []string) {
	seen := map[string]bool{}
	for _, dir := range folders {
		for !seen[dir] {
			seen[dir] = true
			for _, name := range []string{"go.mod", "go.work", filepath.Join("vendor", "modules.txt")} {
				files = append(files, filepath.Join(dir, name))
			}
			dir = filepath.Dir(dir)
		}
	}
	return files
}

// goEnv asks the go command for some variables.
func (t goTarget) goEnv(ctx context.Context, names ...string) (values []string, ok bool) {
	cmd := exec.CommandContext(ctx, t.tool, append([]string{"env"}, names...)...)
	cmd.Dir = t.dir
	out, err := cmd.Output()
	values = strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") // the last one may be empty
	return values, err == nil && len(values) == len(names)
}

// listedSource is a package's folder and the go.mod of its module; or the go.mod of a module alone.
type listedSource struct {
	dir, mod string
	more     bool // than Go and its assembler go into it
}

// listSources lists the packages that either role is built of: build constraints may tell roles apart. In a
// workspace the modules go in as well: each has a say in the versions of the others.
func (t goTarget) listSources(ctx context.Context, workspace bool) (all []listedSource, ok bool) {
	const format = `{{if not .Standard}}{{.Dir}}{{"\t"}}{{len .CgoFiles}} {{len .EmbedPatterns}} {{len .CFiles}}{{"\t"}}{{with .Module}}{{.GoMod}}{{end}}{{end}}`
	lists := [][]string{{"-deps", t.tags("mr_map"), "-f", format, t.arg}, {"-deps", t.tags("mr_reduce"), "-f", format, t.arg}}
	if workspace {
		lists = append(lists, []string{"-m", "-f", `{{with .GoMod}}{{"\t"}}{{"\t"}}{{.}}{{end}}`, "all"})
	}
	for _, args := range lists {
		list := exec.CommandContext(ctx, t.tool, append([]string{"list"}, args...)...)
		list.Dir = t.dir
		out, err := list.Output()
		if err != nil {
			return nil, false // the build will say why
		}
		for _, line := range strings.Split(string(out), "\n") {
			f := strings.Split(line, "\t")
			switch {
			case line == "":
			case len(f) != 3:
				return nil, false
			default:
				all = append(all, listedSource{dir: f[0], mod: f[2], more: f[0] != "" && f[1] != "0 0 0"})
			}
		}
	}
	return all, true
}

// sourcesIn lists the names of the files in a package's folder that go into a build of Go alone, whatever
// tags they need.
func sourcesIn(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".go", ".s", ".h", ".pgo", ".syso":
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
	r := buildRecord{Version: buildsVersion, Sources: *of}
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
	b.trim(time.Now())
	return binaries{path: filepath.Join(b.dir, r.Reduce), forMap: filepath.Join(b.dir, r.Map)}, true
}

const (
	buildsMost  = 512 << 20        // a hundred builds or so
	buildsGrace = 10 * time.Minute // another run may be about to read what it has found
)

// trim removes what was used longest ago, beyond what is kept: each edit of a package leaves two more binaries.
// What can't be removed is tried again with the next build.
func (b builds) trim(now time.Time) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return
	}
	var files []os.FileInfo
	over := -cmp.Or(b.most, buildsMost)
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files, over = append(files, info), over+info.Size()
		}
	}
	slices.SortFunc(files, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, f := range files {
		if now.Sub(f.ModTime()) <= buildsGrace {
			return
		}
		// Those who write a file were killed if it still has the name that it was begun under.
		half := strings.HasPrefix(f.Name(), halfBuilt)
		if (over > 0 || half) && os.Remove(filepath.Join(b.dir, f.Name())) == nil {
			over -= f.Size()
		}
	}
}

// halfBuilt begins the names of files that are being written.
const halfBuilt = ".tmp-"

// writeWhole writes a file under another name and renames it: others see all of it, or nothing.
func writeWhole(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), halfBuilt+"*")
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
