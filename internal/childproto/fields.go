package childproto

import (
	"encoding/binary"
	"errors"
)

var errPayload = errors.New("a frame's payload does not fit its type")

// maxFields bounds the payload of a control frame, and so what its claims can allocate.
const maxFields = 8 << 20

// ErrLong is in the error of a control frame that is longer than the other side takes.
var ErrLong = errors.New("more fields than a frame takes")

// Fields reads the payload of a control frame.
func Fields(b []byte) ([][]string, error) {
	var fs [][]string
	if len(b) > maxFields {
		return nil, errPayload
	}
	for len(b) > 0 {
		n, k := binary.Uvarint(b)
		b = b[max(k, 0):]
		if k <= 0 || n == 0 || n > uint64(len(b)) { // each string takes a byte at least
			return nil, errPayload
		}
		f := make([]string, n)
		for i := range f {
			l, k := binary.Uvarint(b)
			if k <= 0 || l > uint64(len(b)-k) {
				return nil, errPayload
			}
			f[i] = string(b[k : k+int(l)])
			b = b[k+int(l):]
		}
		fs = append(fs, f)
	}
	return fs, nil
}

// One returns the i-th string behind the first field of that name, or "".
func One(fs [][]string, name string, i int) string {
	for _, f := range fs {
		if f[0] == name && i+1 < len(f) {
			return f[i+1]
		}
	}
	return ""
}

// All returns the first string behind every field of that name.
func All(fs [][]string, name string) []string {
	var all []string
	for _, f := range fs {
		if f[0] == name && len(f) > 1 {
			all = append(all, f[1])
		}
	}
	return all
}

// EndOfOutput is what a child writes behind all that a task has printed: standard output
// and standard error are one pipe.
const EndOfOutput = "\x00mr: end of the task's output\x00\n"
