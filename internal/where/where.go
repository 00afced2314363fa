// Package where says where a store and the daemon that serves it are to be found, from a flag's
// value and the environment. mrctl and mrd must agree about it to find each other.
package where

import (
	"path/filepath"
	"strings"

	mr "github.com/mrd-io/mr"
)

// Socket is the name of the daemon's own socket inside its store.
const Socket = "mrd.sock"

// Store returns the absolute folder of the store: flag, or $MR_STORE, or $XDG_STATE_HOME/mr, or
// ~/.local/state/mr. Relative names are relative to dir.
func Store(flag string, env func(string) string, dir string) (string, error) {
	path := flag
	if path == "" {
		path = env("MR_STORE")
	}
	if path == "" {
		// The XDG rules say that a relative XDG_STATE_HOME is to be ignored.
		if state := env("XDG_STATE_HOME"); filepath.IsAbs(state) {
			path = filepath.Join(state, "mr")
		} else if home := env("HOME"); filepath.IsAbs(home) {
			path = filepath.Join(home, ".local", "state", "mr")
		} else {
			return "", mr.Errorf(mr.Usage, "no folder for the store: neither --store nor MR_STORE, XDG_STATE_HOME or HOME is set; name one with --store DIR")
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path), nil
}

// Addr returns the daemon's address, and whether somebody asked for it (and so wants no other): flag,
// or $MR_ADDR, or the socket inside store.
func Addr(flag string, env func(string) string, store, dir string) (addr string, asked bool, err error) {
	for _, s := range []string{flag, env("MR_ADDR")} {
		if s != "" {
			addr, err = Parse(s, dir)
			return addr, true, err
		}
	}
	return "unix:" + filepath.Join(store, Socket), false, nil
}

// Keys returns the folder of the keys for TCP, and whether somebody asked for it: flag, or $MR_AUTH, or
// auth inside the store.
func Keys(flag string, env func(string) string, store, dir string) (keys string, asked bool) {
	for _, s := range []string{flag, env("MR_AUTH")} {
		switch {
		case s == "":
		case filepath.IsAbs(s):
			return filepath.Clean(s), true
		default:
			return filepath.Join(dir, s), true
		}
	}
	return filepath.Join(store, "auth"), false
}

// Parse turns an address as typed into unix:PATH with an absolute path, or tcp:HOST:PORT.
func Parse(s, dir string) (string, error) {
	path, unix := strings.CutPrefix(s, "unix:")
	host, tcp := strings.CutPrefix(s, "tcp:")
	switch {
	case unix && path != "" || !tcp && strings.Contains(s, "/"):
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return "unix:" + path, nil
	case !unix && strings.LastIndexByte(host, ':') >= 0:
		return "tcp:" + host, nil
	}
	return "", mr.Errorf(mr.Usage, "address %q is neither unix:PATH nor tcp:HOST:PORT", s)
}
