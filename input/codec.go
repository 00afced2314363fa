package input

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/mrd-io/mr"
)

// DecoderVersion changes when the same stored bytes would give other records. It is part of
// every split's key.
const DecoderVersion = 1

// codec is how a file is compressed. The values are part of digests: append only.
type codec uint8

const (
	plainCodec codec = 0
	gzipCodec  codec = 1
	zstdCodec  codec = 2
	s2Codec    codec = 3 // framed s2, and framed snappy, which is a part of it
	bzip2Codec codec = 4
)

func (c codec) String() string {
	return [...]string{"plain", "gzip", "zstd", "s2", "bzip2"}[c]
}

// sniffLen is how many bytes sniff looks at.
const sniffLen = 10

// maxZstdWindow is what the zstd tool itself accepts without being asked: a hostile header
// could ask for gigabytes.
const maxZstdWindow = 128 << 20

// sniff tells a file's codec from its first bytes. The magics are as long as the formats
// allow, so that a text which begins with "BZh" stays a text.
func sniff(head []byte) codec {
	has := func(magic string) bool { return bytes.HasPrefix(head, []byte(magic)) }
	switch {
	case has("\x1f\x8b\x08"):
		return gzipCodec
	case has("\x28\xb5\x2f\xfd"):
		return zstdCodec
	case len(head) >= 4 && head[0]&0xf0 == 0x50 && string(head[1:4]) == "\x2a\x4d\x18":
		return zstdCodec // begins with a skippable frame
	case has("\xff\x06\x00\x00S2sTwO"), has("\xff\x06\x00\x00sNaPpY"):
		return s2Codec
	case len(head) >= 10 && has("BZh") && head[3] >= '1' && head[3] <= '9' &&
		(string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90"):
		return bzip2Codec
	}
	return plainCodec
}

// stored is the source of a decoder: the stored bytes of a piece.
type stored interface {
	io.Reader
	io.ByteScanner
}

// more reports whether the source has another byte.
func more(src stored) (bool, error) {
	_, err := src.ReadByte()
	if err == io.EOF {
		return false, nil
	}
	if err == nil {
		err = src.UnreadByte()
	}
	return err == nil, err
}

// decoders keeps one decoder of each kind for the pieces of a split.
type decoders struct {
	gzip members
	zstd *zstd.Decoder
	s2   *s2.Reader
}

// open returns a reader of what src holds in compressed form.
func (d *decoders) open(c codec, src stored) (io.Reader, error) {
	switch c {
	case gzipCodec:
		d.gzip.src = src
		return &d.gzip, d.gzip.next()
	case zstdCodec:
		if d.zstd != nil {
			return d.zstd, d.zstd.Reset(src)
		}
		z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		d.zstd = z
		return z, err
	case s2Codec:
		if d.s2 == nil {
			d.s2 = s2.NewReader(src)
		} else {
			d.s2.Reset(src)
		}
		return d.s2, nil
	case bzip2Codec:
		return bzip2.NewReader(src), nil
	}
	return src, nil
}

// close frees what the decoders hold.
func (d *decoders) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
	*d = decoders{}
}

// members reads the members of a gzip file one after the other. The package's own way
// takes a file that was cut off in a later member's header for complete.
type members struct {
	src stored
	z   *gzip.Reader
}

// next begins a member; there is at least one more byte.
func (m *members) next() (err error) {
	if m.z == nil {
		m.z, err = gzip.NewReader(m.src)
	} else {
		err = m.z.Reset(m.src)
	}
	if err == nil {
		m.z.Multistream(false)
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Read goes on to the next member that holds something: of empty ones there may be many.
func (m *members) Read(p []byte) (n int, err error) {
	for n == 0 && err == nil && len(p) > 0 {
		if n, err = m.z.Read(p); err == io.EOF {
			err = m.step()
		}
	}
	return n, err
}

// step begins the member behind one that has ended, if there is one, and returns io.EOF if not.
func (m *members) step() error {
	first, err := m.src.ReadByte()
	if err != nil {
		return err
	}
	if first != gzipFirst { // padding or the like: no member begins here, so none is truncated
		return gzip.ErrHeader
	}
	if err := m.src.UnreadByte(); err != nil {
		return err
	}
	return m.next()
}

// gzipFirst is the first byte of every gzip member.
const gzipFirst = 0x1f

// errDecode explains why a compressed file cannot be read beyond the decoded offset off.
// short says that the stored bytes were used up.
func errDecode(path string, c codec, off int64, short bool, err error) error {
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrWindowSizeTooSmall):
		return mr.Errorf(mr.Failed, "%s: %s data asks for a window beyond %d bytes (%w); compress it without --long and --ultra", path, c, maxZstdWindow, err)
	case errors.Is(err, io.ErrUnexpectedEOF), short && errors.Is(err, s2.ErrCorrupt):
		return mr.Errorf(mr.Failed, "%s: truncated %s data: the file ends in the middle, after decoded offset %d (%w); fetch or make the file again",
			path, c, off, err)
	}
	return mr.Errorf(mr.Failed, "%s: corrupt %s data, or other bytes after it, at decoded offset %d: %w; fetch or make the file again", path, c, off, err)
}
