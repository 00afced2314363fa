package where

import (
	"errors"
	"testing"

	mr "github.com/mrd-io/mr"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestStore(t *testing.T) {
	for _, c := range []struct {
		flag string
		env  func(string) string
		want string
	}{
		{"/s", env("MR_STORE", "/m"), "/s"},
		{"s/../t", env(), "/here/t"},
		{"", env("MR_STORE", "/m", "XDG_STATE_HOME", "/x"), "/m"},
		{"", env("MR_STORE", "m"), "/here/m"},
		{"", env("XDG_STATE_HOME", "/x", "HOME", "/h"), "/x/mr"},
		{"", env("XDG_STATE_HOME", "x", "HOME", "/h"), "/h/.local/state/mr"},
	} {
		if got, err := Store(c.flag, c.env, "/here"); err != nil || got != c.want {
			t.Errorf("Store(%q) = %q, %v; want %q", c.flag, got, err, c.want)
		}
	}
	if _, err := Store("", env(), "/here"); !errors.Is(err, mr.ErrUsage) {
		t.Errorf("without any home: %v, want wrong usage", err)
	}
}

func TestAddr(t *testing.T) {
	for _, c := range []struct {
		flag  string
		env   func(string) string
		want  string
		asked bool
	}{
		{"", env(), "unix:/s/mrd.sock", false},
		{"", env("MR_ADDR", "tcp:h:1"), "tcp:h:1", true},
		{"unix:/a", env("MR_ADDR", "tcp:h:1"), "unix:/a", true},
		{"unix:a.sock", env(), "unix:/here/a.sock", true},
		{"./a.sock", env(), "unix:/here/a.sock", true},
		{"localhost:7070", env(), "tcp:localhost:7070", true},
		{"tcp:[::1]:7070", env(), "tcp:[::1]:7070", true},
	} {
		got, asked, err := Addr(c.flag, c.env, "/s", "/here")
		if err != nil || got != c.want || asked != c.asked {
			t.Errorf("Addr(%q) = %q, %v, %v; want %q, %v", c.flag, got, asked, err, c.want, c.asked)
		}
	}
	for _, bad := range []string{"unix:", "host", "tcp:host"} {
		if _, _, err := Addr(bad, env(), "/s", "/here"); !errors.Is(err, mr.ErrUsage) {
			t.Errorf("Addr(%q): %v, want wrong usage", bad, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		flag  string
		env   func(string) string
		want  string
		asked bool
	}{
		{"", env(), "/s/auth", false},
		{"", env("MR_AUTH", "k"), "/here/k", true},
		{"/f", env("MR_AUTH", "k"), "/f", true},
	} {
		if got, asked := Keys(c.flag, c.env, "/s", "/here"); got != c.want || asked != c.asked {
			t.Errorf("Keys(%q) = %q, %v; want %q, %v", c.flag, got, asked, c.want, c.asked)
		}
	}
}
