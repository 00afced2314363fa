package childproto

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// The protocol on the wire. Whoever changes this changes Version.
func TestGoldenFrames(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, err := range []error{
		w.Control(Hello, []string{"protocol", Version}, []string{"job", "wc"}),
		w.Block("a/b", 300, true, []byte("x\n")),
		w.Record([]byte("k"), []byte("vv")),
		w.Record(nil, nil),
		w.Flush(),
		w.Flush(),
		w.Control(End),
		w.Shared("p", 1, false, 2, 300),
		w.Release(2),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "0114000000" + "02" + "0870726f746f636f6c" + "0131" + "02" + "036a6f62" + "027763" +
		"0609000000" + "03612f62" + "ac02" + "01" + "780a" +
		"0707000000" + "01026b7676" + "0000" +
		"0800000000" +
		"0a07000000" + "0170" + "01" + "00" + "02" + "ac02" +
		"0b01000000" + "02"
	if got := hex.EncodeToString(b.Bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFramesComeBack(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	big := bytes.Repeat([]byte("0123456789"), 300_000)
	_ = w.Control(Configure, []string{"job", "j\xff"}, []string{"arg", ""}, []string{"arg", "b"})
	_ = w.Block("", 0, false, big)
	_ = w.Record([]byte("key"), big)
	r := NewReader(&b)
	if typ, p, err := r.Next(); err != nil || typ != Configure {
		t.Fatal(typ, err)
	} else if fs, err := Fields(p); err != nil || One(fs, "job", 0) != "j\xff" || !slices.Equal(All(fs, "arg"), []string{"", "b"}) || One(fs, "none", 0) != "" {
		t.Fatal(fs, err)
	}
	_, p, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, last, data, err := ReadBlock(p); err != nil || last || !bytes.Equal(data, big) {
		t.Fatal("block", last, len(data), err)
	}
	if _, p, err = r.Next(); err != nil {
		t.Fatal(err)
	}
	if k, v, rest, err := NextRecord(p); err != nil || string(k) != "key" || !bytes.Equal(v, big) || len(rest) > 0 {
		t.Fatal("record", err)
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
}

// The memory of a huge frame is not held for those that follow.
func TestHugeFramesAreForgotten(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	for _, n := range []int{10, 2 * maxKept, maxKept / 2, 10} {
		if err := w.Block("f", 0, false, make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		r := NewReader(&b)
		r.buf = make([]byte, 0, 2*maxKept)
		_, p, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, data, err := ReadBlock(p); err != nil || len(data) != n {
			t.Errorf("%d bytes came as %d, %v", n, len(data), err)
		}
		if n < maxKept && cap(r.buf) > maxKept {
			t.Errorf("%d bytes are held for %d", cap(r.buf), n)
		}
	}
}

func TestSharedBlocks(t *testing.T) {
	memory := make([]byte, 2*SlotSize)
	memory[SlotSize] = 'x'
	if slot, b, err := ReadShared([]byte{1, 1}, memory); err != nil || slot != 1 || string(b) != "x" {
		t.Errorf("slot %d, %q, %v", slot, b, err)
	}
	for _, bad := range [][]byte{{}, {1}, {2, 1}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}, {0, 0xff, 0xff, 0xff, 1}} {
		if _, _, err := ReadShared(bad, memory); err == nil {
			t.Errorf("%x is a place", bad)
		}
	}
}

func TestBadFramesAreErrors(t *testing.T) {
	for name, in := range map[string]string{
		"type":      "00" + "00000000",
		"type high": "63" + "00000000",
		"length":    "07" + "ffffffff",
		"cut":       "07" + "10000000" + "00",
		"text":      hex.EncodeToString([]byte("hello world, I am not a protocol")),
	} {
		raw, _ := hex.DecodeString(in)
		if _, _, err := NewReader(bytes.NewReader(raw)).Next(); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := NewReader(strings.NewReader("\x07\x01")).Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut header: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x01\x0d\x00\x00\x00\x02\x03job\x02wc"))
	f.Add([]byte("\x06\x07\x00\x00\x00\x01a\x00\x01x\n\n"))
	f.Add([]byte("\x07\x05\x00\x00\x00\x01\x02kvv"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in))
		for {
			typ, p, err := r.Next()
			if err != nil {
				return
			}
			switch typ {
			case Block:
				if path, _, _, data, err := ReadBlock(p); err == nil && len(path)+len(data) > len(p) {
					t.Fatal("a block larger than its frame")
				}
			case Records:
				for len(p) > 0 {
					var k, v []byte
					n := len(p)
					if k, v, p, err = NextRecord(p); err != nil {
						break
					}
					if len(k)+len(v)+len(p) >= n {
						t.Fatal("a record larger than its frame")
					}
				}
			default:
				if fs, err := Fields(p); err == nil {
					One(fs, "job", 0)
				}
			}
		}
	})
}
