package input

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// Fast is a keyed 128-bit hash of a split's bytes, and of what else its digest covers. It
// tells whether bytes are those that were seen before, in a third of the time that the
// digest takes. It never identifies a split: who knows the key can make two of the same.
type Fast [16]byte

// IsZero reports whether f is unknown.
func (f Fast) IsZero() bool { return f == Fast{} }

// fastPart hashes the bytes of one piece.
type fastPart struct {
	h *xxh3.Hasher
}

func newFastPart(key uint64) fastPart { return fastPart{xxh3.NewSeed(key)} }

func (f fastPart) sum() Fast { return f.h.Sum128().Bytes() }

// fastOf combines the parts in the way of digestOf.
func fastOf(key uint64, parts []part) Fast {
	b := make([]byte, 0, 16+len(parts)*(8+8+len(Fast{})))
	b = append(b, "mr fast 1"...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(parts)))
	for i := range parts {
		b = binary.LittleEndian.AppendUint64(b, uint64(parts[i].codec))
		b = binary.LittleEndian.AppendUint64(b, uint64(parts[i].size))
		b = append(b, parts[i].fast[:]...)
	}
	return xxh3.Hash128Seed(b, key).Bytes()
}

// identify finds the digest of a split: it is remembered under the fast hash of its bytes, or
// made now if they are in memory.
func (r *loader) identify() {
	l := r.l
	l.fast = fastOf(l.o.FastKey, l.parts)
	if d, ok := l.o.Recall(l.fast); ok && !d.IsZero() {
		l.digest, l.recalled = d, true
		return
	}
	if !l.kept {
		return
	}
	h := newHasher()
	defer keepHasher(h)
	for i := range l.parts {
		p := &l.parts[i]
		h.Reset()
		_, _ = h.Write(l.buf[p.at : p.at+p.size]) // a hash's Write has no error
		h.Sum(p.sum[:0])
	}
	l.digest = digestOf(l.parts)
}
