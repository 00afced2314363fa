package mr

import (
	"bytes"
	"iter"
)

// Records cuts a block of whole records into its records: offset in the block, and the
// record without its line end. A text record ends with LF or CRLF, and the last one may
// lack its end; an empty block has no record, except that the whole of an empty file is one.
// What is appended to a record goes elsewhere, not into the next one.
func Records(f Format, block []byte) iter.Seq2[int, []byte] {
	switch f.Kind {
	case Fixed:
		return func(yield func(int, []byte) bool) {
			for off := 0; off < len(block); off += f.N {
				end := min(off+f.N, len(block))
				if !yield(off, block[off:end:end]) {
					return
				}
			}
		}
	case Whole:
		return func(yield func(int, []byte) bool) { yield(0, block) }
	}
	return func(yield func(int, []byte) bool) {
		for off := 0; off < len(block); {
			rest := block[off:]
			next := len(rest)
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				next = i + 1
				rest = rest[:i]
			}
			line := cutCR(rest, next)
			if !yield(off, line[:len(line):len(line)]) {
				return
			}
			off += next
		}
	}
}

// cutCR drops the CR of a CRLF. A last line that lacks its LF keeps a CR at its end: it
// is not a line end there.
func cutCR(line []byte, length int) []byte {
	if n := len(line); n > 0 && n < length && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}

// chunkSize is how much of the input is copied at once where mappers take strings: a
// string keeps its chunk alive, so chunks are small, and copies are worth their call.
const chunkSize = 64 << 10

// chunks cuts a block into pieces of whole records of about chunkSize.
func chunks(f Format, block []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for off := 0; off < len(block); {
			end := chunkEnd(f, block, off)
			if !yield(off, block[off:end]) {
				return
			}
			off = end
		}
	}
}

func chunkEnd(f Format, block []byte, off int) int {
	if len(block)-off <= chunkSize {
		return len(block)
	}
	switch f.Kind {
	case Fixed:
		return min(off+max(chunkSize/f.N, 1)*f.N, len(block))
	case Whole:
		return len(block)
	}
	if i := bytes.LastIndexByte(block[off:off+chunkSize], '\n'); i >= 0 {
		return off + i + 1
	}
	if i := bytes.IndexByte(block[off+chunkSize:], '\n'); i >= 0 {
		return off + chunkSize + i + 1
	}
	return len(block)
}

// countRecords counts the records of a block.
func countRecords(f Format, block []byte) int64 {
	switch f.Kind {
	case Fixed:
		return int64((len(block) + f.N - 1) / f.N)
	case Whole:
		return 1
	}
	n := bytes.Count(block, []byte{'\n'})
	if len(block) > 0 && block[len(block)-1] != '\n' {
		n++
	}
	return int64(n)
}
