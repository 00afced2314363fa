package rpcsvc

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
)

var (
	chmod      = os.Chmod
	errTimeout = os.ErrDeadlineExceeded
)

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "s")
	l, err := Listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v; want mode 600", st.Mode(), err)
	}
	if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("its folder: %v, %v; want mode 700", st.Mode(), err)
	}
	if _, err := Listen("unix:" + path); !errors.Is(err, mr.ErrUnreachable) {
		t.Errorf("a live socket: %v; want refusal", err)
	}
	// What a killed process leaves behind.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	l, err = Listen("unix:" + path)
	if err != nil {
		t.Fatalf("a dead socket: %v", err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); !errors.Is(err, mr.ErrUsage) {
		t.Errorf("a file: %v; want a usage error", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("the file was touched")
	}
}

func TestAddresses(t *testing.T) {
	for _, tc := range []struct{ addr, network, where string }{
		{"unix:/a/b", "unix", "/a/b"}, {"/a/b", "unix", "/a/b"}, {"./s", "unix", "./s"},
		{"tcp:h:1", "tcp", "h:1"}, {"h:1", "tcp", "h:1"}, {"[::1]:9", "tcp", "[::1]:9"},
	} {
		network, where, err := splitAddr(tc.addr)
		if network != tc.network || where != tc.where || err != nil {
			t.Errorf("%s: %s, %s, %v", tc.addr, network, where, err)
		}
	}
	for _, bad := range []string{"", "unix:", "tcp:h", "h", "unix:/" + strings.Repeat("x", 200)} {
		if _, _, err := splitAddr(bad); !errors.Is(err, mr.ErrUsage) {
			t.Errorf("%q: %v; want a usage error", bad, err)
		}
	}
}
