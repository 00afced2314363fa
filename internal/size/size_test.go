package size

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "4096": 4096, "1B": 1, "64MiB": 64 << 20, "64 MiB": 64 << 20, "64mib": 64 << 20, "64M": 64 << 20,
		"1GB": 1e9, "1kB": 1000, "1KiB": 1024, "1.5GiB": 3 << 29, "0.5k": 512, ".5K": 512, "2T": 2 << 40, "3PB": 3e15,
		" 7 ": 7, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for in, why := range map[string]string{
		"": "not a size", "MiB": "not a size", "12XB": "no unit", "1e9": "not a size", "-1": "not a size", "1.2.3": "not a size",
		"1.5": "fraction", "9223372036854775808": "too large", "9000PiB": "too large", "99999999999P": "too large",
		"1KiBs": "no unit", "0x10": "not a size", "inf": "no unit", "64MiB,": "no unit",
	} {
		if n, err := Parse(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("Parse(%q) = %d, %v; want an error with %q", in, n, err, why)
		}
	}
}
