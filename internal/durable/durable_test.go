package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Every folder that gets a new name in it is synced, and no other.
func TestMkdirAllSyncsTheParentsOfWhatIsNew(t *testing.T) {
	top := t.TempDir()
	if err := os.Mkdir(filepath.Join(top, "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want []string
	}{
		{"old", nil},
		{"old/a", []string{"old"}},
		{"old/a/b/c/d", []string{"old/a", "old/a/b", "old/a/b/c"}},
		{"old/a/b/c/d/", nil},
		{"x/y", []string{".", "x"}},
		{"old/../z/y/", []string{".", "z"}},
	} {
		var synced []string
		err := mkdirAll(top+"/"+c.path, 0o700, func(dir string) error {
			rel, err := filepath.Rel(top, dir)
			synced = append(synced, rel)
			return errors.Join(err, SyncDir(dir))
		})
		if err != nil || !slices.Equal(synced, c.want) {
			t.Errorf("%s: synced %q, want %q (%v)", c.path, synced, c.want, err)
		}
		if info, err := os.Stat(filepath.Join(top, c.path)); err != nil || !info.IsDir() {
			t.Errorf("%s was not made: %v", c.path, err)
		}
	}
	t.Chdir(top)
	var synced []string
	if err := mkdirAll("r/s", 0o700, func(dir string) error { synced = append(synced, dir); return nil }); err != nil || !slices.Equal(synced, []string{".", "r"}) {
		t.Errorf("a relative path: synced %q (%v)", synced, err)
	}
}

func TestErrorsAreTold(t *testing.T) {
	top := t.TempDir()
	file := filepath.Join(top, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(file, "a"), 0o700); err == nil {
		t.Error("a folder below a file")
	}
	bad := errors.New("the disk is on fire")
	if err := mkdirAll(filepath.Join(top, "a"), 0o700, func(string) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("a folder that was not synced: %v", err)
	}
	if err := SyncDir(filepath.Join(top, "none")); err == nil {
		t.Error("a folder that is not there was synced")
	}
	if err := Rename(filepath.Join(top, "none"), file); err == nil {
		t.Error("a file that is not there was renamed")
	}
	if err := Create(filepath.Join(file, "a")); err == nil {
		t.Error("a file below a file was made")
	}
	for range 2 {
		made := filepath.Join(top, "made")
		if err := Create(made); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(made); err != nil || info.Size() != 0 {
			t.Errorf("%v, %v", info, err)
		}
	}
	if err := Rename(file, filepath.Join(top, "renamed")); err != nil {
		t.Error(err)
	}
}
