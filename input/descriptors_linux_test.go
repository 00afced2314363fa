package input

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A file is opened when there are descriptors again, and that there are none is told if there are none for long.
func TestTooManyOpenFiles(t *testing.T) {
	split := wholeSplit(t, write(t, filepath.Join(t.TempDir(), "f"), []byte("a line\n")))
	var had unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &had); err != nil {
		t.Fatal(err)
	}
	limit := func(n uint64) {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: had.Max}); err != nil {
			t.Error(err)
		}
	}
	defer limit(had.Cur)
	limit(0)
	time.AfterFunc(20*time.Millisecond, func() { limit(had.Cur) })
	l, err := Load(context.Background(), split, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	limit(0)
	if _, err := Load(context.Background(), split, Options{}); !errors.Is(err, unix.EMFILE) {
		t.Error(err)
	}
}
