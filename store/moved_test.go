package store_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/store"
)

// A store that is moved while it is in use touches no file of the store that is made where it was.
func TestMovedStoreLeavesItsSuccessorAlone(t *testing.T) {
	top := t.TempDir()
	here, there := filepath.Join(top, "here"), filepath.Join(top, "there")
	o := store.Options{VolumeCap: 1 << 20}
	moved := openUnchecked(t, here, o)
	first := blocks(1, 8, 300_000)
	id, err := writeRun(moved, first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(here, there); err != nil {
		t.Fatal(err)
	}
	for _, successor := range []bool{false, true} {
		if successor {
			s := openUnchecked(t, here, o)
			if _, err := writeRun(s, blocks(2, 8, 300_000)); err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
		}
		before := names(t, here)
		for range 4 { // more than one volume takes
			if _, err = writeRun(moved, blocks(3, 8, 300_000)); err != nil {
				break
			}
		}
		if mr.KindOf(err) != mr.Unreachable || !strings.Contains(err.Error(), here+" was moved") {
			t.Errorf("writing a run: %v", err)
		}
		if err := moved.Snapshot(0); mr.KindOf(err) != mr.Unreachable {
			t.Errorf("a snapshot: %v", err)
		}
		if after := names(t, here); !maps.Equal(after, before) {
			t.Errorf("files %v, and before %v", after, before)
		}
	}
	err = moved.Update(func(tx *store.Tx) error { return tx.DeleteRun(id) })
	if err != nil {
		t.Fatal(err)
	}
	before := names(t, here)
	if _, err := moved.GC(t.Context()); mr.KindOf(err) != mr.Unreachable {
		t.Errorf("collecting: %v", err)
	}
	if after := names(t, here); !maps.Equal(after, before) {
		t.Errorf("after collecting: files %v, and before %v", after, before)
	}
}

// names are the files below a folder, with their sizes.
func names(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			all[path] = info.Size()
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
