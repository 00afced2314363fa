package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestBuilds changes what a package is built of after it was built and remembered: all of it has to be
// noticed, also what was not there before.
func TestBuilds(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err) // what is tested runs it
	}
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("alone/go.mod", "module example.org/alone\n\ngo 1.26.0\n")
	write("alone/job/main.go", "package main\n\nfunc main() {}\n")
	write("alone/job/map.go", "//go:build mr_map\n\npackage main\n\nimport _ \"example.org/alone/mapped\"\n")
	write("alone/job/reduce.go", "//go:build mr_reduce\n\npackage main\n\nimport _ \"example.org/alone/reduced\"\n")
	write("alone/mapped/p.go", "package mapped\n")
	write("alone/reduced/p.go", "package reduced\n")
	write("space/go.work", "go 1.26.0\n\nuse (\n\t./job\n\t./other\n)\n")
	write("space/job/go.mod", "module example.org/job\n\ngo 1.26.0\n")
	write("space/job/main.go", "package main\n\nfunc main() {}\n")
	write("space/other/go.mod", "module example.org/other\n\ngo 1.26.0\n")
	write("space/other/other.go", "package other\n")
	write("map", "what was built")
	write("reduce", "what was built, too")

	t.Setenv("HOME", filepath.Join(root, "home"))
	for _, name := range []string{"GOFLAGS", "GOENV", "GOWORK", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("GOMODCACHE", filepath.Join(root, "modules"))
	t.Setenv("GOCACHE", filepath.Join(root, "compiled"))
	t.Setenv("GOPROXY", "off")
	cache := builds{dir: filepath.Join(root, "builds"), env: goEnvironment(os.Environ())}
	alone := goTarget{tool: tool, dir: filepath.Join(root, "alone"), arg: "./job"}
	space := goTarget{tool: tool, dir: filepath.Join(root, "space/job"), arg: "."}
	time.Sleep(2100 * time.Millisecond) // until the stamps vouch for the sources
	var kept binaries
	for _, target := range []goTarget{alone, space} {
		sources := cache.begin(t.Context(), target)
		if sources == nil {
			t.Fatalf("%s: what is built is not remembered", target.dir)
		}
		var ok bool
		if kept, ok = cache.keep(target, sources, binaries{path: filepath.Join(root, "reduce"), forMap: filepath.Join(root, "map")}); !ok {
			t.Fatalf("%s: what was built was not kept", target.dir)
		}
	}
	find := func(what string, target goTarget, want bool) {
		t.Helper()
		if _, ok := cache.find(target); ok != want {
			t.Errorf("%s: found what was built: %v", what, ok)
		}
	}
	find("nothing", alone, true)
	find("nothing", space, true)
	for _, name := range []string{"alone/go.work", "go.work", "alone/job/go.mod", "alone/vendor/modules.txt", "home/.config/go/env", "alone/job/more.go", "alone/mapped/asm.s"} {
		write(name, "")
		find(name+" is new", alone, false)
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
		find(name+" is gone", alone, true)
	}
	write("space/other/go.mod", "module example.org/other\n\ngo 1.26.0\n\n// edited\n")
	find("another module of the workspace", space, false)
	write("alone/mapped/p.go", "package mapped\n\n// edited\n")
	find("a package that only the mapper imports", alone, false)
	if !intact(kept.path) || !intact(kept.forMap) {
		t.Fatal("what was kept is not intact")
	}
	if err := os.Truncate(kept.forMap, 3); err != nil {
		t.Fatal(err)
	}
	if intact(kept.forMap) {
		t.Error("a binary that was cut short is taken for what was built")
	}
}

// What is built of this module, with its assembler, is remembered, and what includes files of any name is not.
func TestBuildsWithAssembler(t *testing.T) {
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	cache := builds{dir: t.TempDir()}
	own, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if cache.begin(t.Context(), goTarget{tool: tool, dir: own, arg: "./bench/jobs/wordcount"}) == nil {
		t.Error("a package of this module is built in every run")
	}
	for include, want := range map[string]bool{`#include "textflag.h"`: true, `#include "other.h"`: false, `# include "other.h"`: false, "#include <textflag.h>": false} {
		dir := t.TempDir()
		for name, text := range map[string]string{"go.mod": "module example.org/job\n\ngo 1.26.0\n", "main.go": "package main\n\nfunc main() {}\n", "asm.s": "\t" + include + "\n"} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(2100 * time.Millisecond) // until the stamps vouch for the sources
		if got := cache.begin(t.Context(), goTarget{tool: tool, dir: dir, arg: "."}) != nil; got != want {
			t.Errorf("with %s it is remembered: %v", include, got)
		}
	}
}

// A build that is interrupted leaves nothing behind.
func TestInterruptedBuild(t *testing.T) {
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("GOCACHE", t.TempDir()) // so that there is much to build
	t.Setenv("GOTMPDIR", temp)
	for name, text := range map[string]string{"go.mod": "module example.org/job\n\ngo 1.26.0\n", "main.go": "package main\n\nimport _ \"net/http\"\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			for _, below := range []string{"go-build*/b*", "*/go-build*/b*"} {
				if begun, _ := filepath.Glob(filepath.Join(temp, below)); len(begun) > 0 {
					return
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	a := app{dir: dir, env: func(name string) string { return map[string]string{"GOTMPDIR": temp}[name] }}
	if _, _, err := a.build(ctx, ".", dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
