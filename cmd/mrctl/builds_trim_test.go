package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	stamps "github.com/mrd-io/mr/input"
)

// TestBuildsAreBounded: what was built and not used for longest goes when there is too much of it, and what a run
// has just found does not.
func TestBuildsAreBounded(t *testing.T) {
	root := t.TempDir()
	cache := builds{dir: filepath.Join(root, "builds"), most: 3200}
	write := func(path string, size int, age time.Duration) string {
		t.Helper()
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Mkdir(cache.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(make([]byte, 900))
	used := write(filepath.Join(cache.dir, hex.EncodeToString(sum[:])), 900, 72*time.Hour)
	oldest := write(filepath.Join(cache.dir, "oldest"), 1000, 48*time.Hour)
	older := write(filepath.Join(cache.dir, "older"), 500, 24*time.Hour)
	half := write(filepath.Join(cache.dir, ".tmp-1"), 1, time.Hour)
	writing := write(filepath.Join(cache.dir, ".tmp-2"), 1, 0)

	source := write(filepath.Join(root, "main.go"), 1, time.Hour)
	stamp, _, err := stamps.StampFile(source, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	target := goTarget{tool: "go", dir: root, arg: "."}
	name := filepath.Base(used)
	record, err := json.Marshal(buildRecord{Version: buildsVersion, Sources: sources{Files: []sourceStamp{{source, stamp}}}, Reduce: name, Map: name})
	if err == nil {
		err = os.WriteFile(cache.recordPath(target), record, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := cache.find(target); !ok {
		t.Fatal("what was built is not found")
	}
	built := binaries{path: write(filepath.Join(root, "reduce"), 400, 0), forMap: write(filepath.Join(root, "map"), 300, 0)}
	kept, ok := cache.keep(goTarget{arg: "other"}, &sources{}, built)
	if !ok {
		t.Fatal("what was built is not kept")
	}
	for path, stays := range map[string]bool{
		oldest: false, half: false, used: true, older: true, writing: true, kept.path: true, kept.forMap: true, cache.recordPath(target): true,
	} {
		if exists(path) != stays {
			t.Errorf("%s stays: %v", filepath.Base(path), !stays)
		}
	}
}
