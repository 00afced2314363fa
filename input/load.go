package input

import (
	"context"

	"github.com/mrd-io/mr"
)

const (
	// DefaultRecordLimit is the RecordLimit of Options that have none.
	DefaultRecordLimit = 64 << 20

	defaultBuffer = 64 << 20

	// chunk is read, then hashed while it is still in the processor's cache.
	chunk = 256 << 10
	// lineRead is what is first read of a line's rest beyond a range.
	lineRead = 4 << 10
	// line is the length of a line of the processor's cache.
	line = 64
	// slack is room beyond a range for its last record's end, if that is not larger than the range.
	slack = 64 << 10
)

// Options say how a split is read.
type Options struct {
	Format      mr.Format
	RecordLimit int64 // the longest line, or file in the whole format; 0: 64 MiB
	Buffer      int64 // splits of at most so many stored bytes are held in memory; 0: 64 MiB

	// Recall returns the digest that a split with the given fast hash had, if one is known
	// that was hashed under the same FastKey; if not, the digest is made. The caller
	// answers for it. It is not asked about splits beyond Buffer. nil: digests are made.
	Recall func(Fast) (d mr.Digest, ok bool)
	// Skim a split whose digest Recall is likely to know: it is put into memory only if Recall does
	// not know it. Hashed in passing, a gigabyte takes half the time.
	Skim bool
	// Skip, if not nil, is told by the readers of Blocks of records that the format can't make out:
	// torn ones, and such as are longer than RecordLimit. They are left out, unless it returns
	// an error. nil: they are errors. Such a line need not be read to its end.
	Skip func(mr.BadRecord) error
	// FastKey is the key of fast hashes: random, and secret where files are made by
	// people who would profit from a wrong answer.
	FastKey uint64
}

func (o Options) checked() (Options, error) {
	switch {
	case o.RecordLimit < 0:
		return o, mr.Errorf(mr.Usage, "--record-limit %d is negative", o.RecordLimit)
	case o.Buffer < 0:
		return o, mr.Errorf(mr.Usage, "the input buffer of %d bytes is negative", o.Buffer)
	case o.Format.Kind == mr.Fixed && o.Format.N <= 0:
		return o, mr.Errorf(mr.Usage, "--input-format %s: the record length must be positive", o.Format)
	}
	if o.RecordLimit == 0 {
		o.RecordLimit = DefaultRecordLimit
	}
	if o.Buffer == 0 {
		o.Buffer = defaultBuffer
	}
	return o, nil
}

// Loaded is a split that has been read and hashed. Its bytes are in memory, unless they are
// more than Options.Buffer or were known in passing: then Blocks reads them again.
type Loaded struct {
	split    Split
	o        Options
	dev      device
	parts    []part
	buf      []byte // the parts' stored bytes, if kept
	kept     bool
	closed   bool
	digest   mr.Digest
	read     int64
	moved    bool
	fast     Fast
	recalled bool
	open     []*blockReader // not closed yet
}

// part is what was read of a piece.
type part struct {
	codec codec
	off   int64 // offset in the file of the first stored byte
	size  int64 // stored bytes
	at    int64 // where they begin in Loaded.buf
	last  bool  // they end at the end of the file
	sum   mr.Digest
	fast  Fast // instead, if the split's digest was recalled
}

// Load reads and hashes a split. The bytes that are hashed are those that Blocks hands
// out. If a file has not the stamp it was listed with, before or after, the error
// is ErrChanged, unless it was only appended to: see [Loaded.Moved].
func Load(ctx context.Context, s Split, o Options) (*Loaded, error) {
	return load(ctx, s, o, kernel{})
}

func load(ctx context.Context, s Split, o Options, dev device) (*Loaded, error) {
	o, err := o.checked()
	if err != nil {
		return nil, err
	}
	l := &Loaded{split: s, o: o, dev: dev, parts: make([]part, 0, len(s.Pieces))}
	fits := s.Bytes() <= o.Buffer
	recall := fits && o.Recall != nil
	if recall && o.Skim {
		err = l.gather(ctx, recall)
	}
	if err == nil && !l.recalled {
		l.kept, l.parts = fits, l.parts[:0]
		err = l.gather(ctx, recall)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// gather reads and hashes the pieces, into memory if they are kept, and identifies them
// unless they are neither kept nor recalled.
func (l *Loaded) gather(ctx context.Context, recall bool) error {
	r := loader{l: l, ctx: ctx}
	if recall {
		r.fast = newFastPart(l.o.FastKey)
	} else {
		r.h = newHasher()
		defer keepHasher(r.h)
	}
	if l.kept {
		total, n := l.split.Bytes(), len(l.split.Pieces)
		room := total + int64(n)*line
		if n == 1 && !l.split.Pieces[0].whole() {
			room += min(total+2*lineRead, slack)
		}
		l.buf = buffers.get(room)
	} else {
		r.scratch = buffers.get(chunk + line)
		defer buffers.put(r.scratch)
	}
	for i := range l.split.Pieces {
		if err := r.piece(&l.split.Pieces[i]); err != nil {
			return err
		}
	}
	if recall {
		r.identify()
	} else {
		l.digest = digestOf(l.parts)
	}
	return nil
}

// digestOf is the identity of a split's input. The codec is in it because a range in the
// middle of a plain file may look like a compressed file; the rest is lengths and hashes.
func digestOf(parts []part) mr.Digest {
	k := newKey("mr input 1")
	k.uint(uint64(len(parts)))
	for i := range parts {
		p := &parts[i]
		k.uint(uint64(p.codec))
		k.uint(uint64(p.size))
		k.string(string(p.sum[:]))
	}
	return k.sum()
}

// Digest identifies the split's input: equal bytes in equal pieces, equal digests. Neither
// paths nor offsets are in it.
func (l *Loaded) Digest() mr.Digest { return l.digest }

// Fast returns the hash to remember the digest under for Options.Recall; zero if that was
// not given, or the split is not in memory. It follows the bytes read, and may be
// remembered even if the split has moved.
func (l *Loaded) Fast() Fast { return l.fast }

// Recalled reports whether the digest came from Options.Recall.
func (l *Loaded) Recalled() bool { return l.recalled }

// Start is the offset at which the split's first record begins in its file, for a range;
// 0 for whole files. See [Split.Positions].
func (l *Loaded) Start() int64 {
	if len(l.parts) == 0 {
		return 0
	}
	return l.parts[0].off
}

// Stored returns how many stored bytes were hashed, which are those that are mapped.
func (l *Loaded) Stored() int64 {
	var n int64
	for i := range l.parts {
		n += l.parts[i].size
	}
	return n
}

// Read returns the bytes read from files so far.
func (l *Loaded) Read() int64 { return l.read }

// Moved reports whether a file was appended to between its listing and the end of the
// last reading. The pieces end where they were planned to end; only a line, or fixed record,
// that was torn there is completed by what was appended. The digest is that of the bytes
// read, but it must not be remembered under the split's stamps, which vouch for others.
func (l *Loaded) Moved() bool { return l.moved }

// Close gives the buffers back. No block of l is valid after it.
func (l *Loaded) Close() {
	l.closed = true
	for _, b := range l.open {
		b.release()
		b.dec.close()
		b.err = errClosed
	}
	l.open = nil
	buffers.put(l.buf)
	l.buf = nil
}

// Split returns what was loaded.
func (l *Loaded) Split() Split { return l.split }
