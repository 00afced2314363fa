package mr

import (
	"strconv"
	"strings"
)

// Format says how a file's decoded bytes are cut into records.
type Format struct {
	Kind FormatKind
	N    int // record length in bytes, for Fixed; else 0
}

// FormatKind names a record format. The values are part of cache keys: append only.
type FormatKind uint8

// The record formats.
const (
	Text  FormatKind = 0 // lines, ended by LF or CRLF; the last may lack its end
	Fixed FormatKind = 1 // records of exactly N bytes
	Whole FormatKind = 2 // one record a file
)

// ParseFormat reads "text", "fixed:N" or "whole".
func ParseFormat(s string) (Format, error) {
	switch {
	case s == "text" || s == "":
		return Format{Kind: Text}, nil
	case s == "whole":
		return Format{Kind: Whole}, nil
	case strings.HasPrefix(s, "fixed:"):
		n, err := strconv.Atoi(s[len("fixed:"):])
		if err == nil && n > 0 && n <= 1<<26 {
			return Format{Kind: Fixed, N: n}, nil
		}
		return Format{}, Errorf(Usage, "input format %q: the record length after fixed: must be a number of bytes from 1 to %d", s, 1<<26)
	}
	return Format{}, Errorf(Usage, "input format %q is not known; use text, fixed:N or whole", s)
}

// String returns the form that ParseFormat reads.
func (f Format) String() string {
	switch f.Kind {
	case Fixed:
		return "fixed:" + strconv.Itoa(f.N)
	case Whole:
		return "whole"
	default:
		return "text"
	}
}
