package rpcsvc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/mrd-io/mr"
)

// maxSocketPath is what a unix address holds on every system we run on.
const maxSocketPath = 103

// splitAddr reads "unix:PATH", "tcp:HOST:PORT", or either without its scheme: what
// has a slash is a path.
func splitAddr(addr string) (network, where string, err error) {
	network, where, ok := strings.Cut(addr, ":")
	switch {
	case ok && (network == "unix" || network == "tcp"):
	case strings.Contains(addr, "/"):
		network, where = "unix", addr
	default:
		network, where = "tcp", addr
	}
	if network == "unix" {
		if where == "" {
			return "", "", mr.Errorf(mr.Usage, "address %q has no path; use unix:PATH", addr)
		}
		if len(where) > maxSocketPath {
			return "", "", mr.Errorf(mr.Usage, "the path of socket %q is longer than the %d bytes that systems allow; use a shorter one", where, maxSocketPath)
		}
		return network, where, nil
	}
	_, port, err := net.SplitHostPort(where)
	if n, wrong := strconv.Atoi(port); err == nil && wrong == nil && (n < 0 || n > 65535) {
		err = fmt.Errorf("port %s is not between 0 and 65535", port)
	}
	if err != nil {
		return "", "", mr.Errorf(mr.Usage, "address %q: %w; use unix:PATH or tcp:HOST:PORT", addr, err)
	}
	return network, where, nil
}

// CheckAddr says what keeps an address from ever being listened on or dialled.
func CheckAddr(addr string) error {
	_, _, err := splitAddr(addr)
	return err
}

// Listen opens "unix:PATH" or "tcp:HOST:PORT". Beyond the loopback interface it
// refuses: that takes keys, see ListenAuth.
func Listen(spec string) (net.Listener, error) { return ListenAuth(spec, nil) }

// ListenAuth is Listen for a server with keys. A unix socket gets mode 0600; what a
// dead process left in its place is removed, and a live process's is left alone.
func ListenAuth(spec string, auth *Auth) (net.Listener, error) {
	network, where, err := splitAddr(spec)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		return listenUnix(where)
	}
	local, err := isLoopback(where)
	if err != nil {
		return nil, mr.Errorf(mr.Usage, "listen %s: %w", spec, err)
	}
	if !local && (auth == nil || auth.serverTLS == nil) {
		return nil, mr.Errorf(mr.Refused, "listen %s: beyond the loopback interface the daemon needs keys for TLS; make them with mrctl auth init", spec)
	}
	l, err := net.Listen("tcp", where)
	if err != nil {
		return nil, mr.Errorf(mr.Unreachable, "listen %s: %w", spec, err)
	}
	return l, nil
}

// isLoopback reports whether every address of a host is a loopback one.
func isLoopback(hostport string) (bool, error) {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return false, err
	}
	if host == "" {
		return false, nil // every interface
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return false, err
	}
	for _, ip := range ips {
		if !ip.IP.IsLoopback() {
			return false, nil
		}
	}
	return len(ips) > 0, nil
}

func listenUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, mr.Errorf(mr.Usage, "listen unix:%s: %w", path, err)
	}
	if err := clearSocket(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, mr.Errorf(mr.Unreachable, "listen unix:%s: %w", path, err)
	}
	// Between bind and chmod the mode is the umask's; the peer's identity is checked
	// in any case. A umask of our own would be the whole process's.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, mr.Errorf(mr.Unreachable, "listen unix:%s: %w", path, err)
	}
	return l, nil
}

// clearSocket removes a socket that nobody serves any more.
func clearSocket(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return mr.Errorf(mr.Unreachable, "listen unix:%s: %w", path, err)
	}
	if st.Mode().Type() != os.ModeSocket {
		return mr.Errorf(mr.Usage, "listen unix:%s: something that is not a socket is there; choose another path", path)
	}
	nc, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		nc.Close()
		return mr.Errorf(mr.Unreachable, "listen unix:%s: another process is listening there", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return mr.Errorf(mr.Unreachable, "listen unix:%s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return mr.Errorf(mr.Unreachable, "listen unix:%s: the dead socket there can't be removed: %w", path, err)
	}
	return nil
}
