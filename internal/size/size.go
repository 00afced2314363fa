// Package size reads and prints numbers of bytes as people type them.
//
// A size is a decimal number, with a fraction if it has a unit, and a unit: B, or K M G T P
// followed by nothing or iB (powers of 1024) or by B (powers of 1000). Case and a space before the
// unit do not matter.
package size

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// Parse reads a size: 4096, 64MiB, 1GB, 1.5g. Its errors do not repeat s: the caller names the flag and s.
func Parse(s string) (int64, error) {
	text := strings.TrimSpace(s)
	end := strings.LastIndexAny(text, "0123456789.") + 1
	number, unit := text[:end], strings.TrimSpace(text[end:])
	factor, ok := factorOf(unit)
	if !ok {
		return 0, errors.New("no unit that is known; use B, KiB, MiB, GiB, TiB or kB, MB, GB, TB")
	}
	if n, err := strconv.ParseUint(number, 10, 63); err == nil {
		if int64(n) > math.MaxInt64/factor {
			return 0, errors.New("too large")
		}
		return int64(n) * factor, nil
	}
	// ParseFloat would take 1e9, 0x10 and infinities, which are typing errors here.
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.Trim(number, "0123456789.") != "" {
		return 0, errors.New("not a size such as 4096, 64MiB or 1GB")
	}
	if f *= float64(factor); f >= math.MaxInt64 {
		return 0, errors.New("too large")
	}
	if f != math.Trunc(f) && factor == 1 {
		return 0, errors.New("a fraction of a byte")
	}
	return int64(f), nil
}

func factorOf(unit string) (int64, bool) {
	if unit == "" || strings.EqualFold(unit, "b") {
		return 1, true
	}
	power := strings.IndexByte("KMGTP", unit[0]&^0x20) + 1
	if power == 0 {
		return 0, false
	}
	base := int64(1024)
	switch strings.ToLower(unit[1:]) {
	case "", "ib":
	case "b":
		base = 1000
	default:
		return 0, false
	}
	factor := int64(1)
	for range power {
		factor *= base
	}
	return factor, true
}

// Value is a flag's value that takes a size; it implements pflag.Value.
type Value struct{ N *int64 }

// Set implements pflag.Value.
func (v Value) Set(s string) error {
	n, err := Parse(s)
	if err != nil {
		return err
	}
	*v.N = n
	return nil
}

// String implements pflag.Value. An unset size is empty, so that usage texts print no default.
func (v Value) String() string {
	if v.N == nil || *v.N == 0 {
		return ""
	}
	return strconv.FormatInt(*v.N, 10)
}

// Type implements pflag.Value.
func (v Value) Type() string { return "SIZE" }
