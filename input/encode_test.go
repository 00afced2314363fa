package input

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func TestSplitsGolden(t *testing.T) {
	data := AppendSplits(nil, []Split{someSplit(), {}, {Pieces: someSplit().Pieces[1:]}})
	const want = "0103030200072f646174612f6100010204c80180f882ad1680a0d9e61d06016214280006900380f882ad1680a8d6b907000107001428000000000047a5b1fa"
	if got := hex.EncodeToString(data); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSplitsRoundTrip(t *testing.T) {
	var splits []Split
	for _, f := range smallFiles(3, 1000, 4000) {
		splits = append(splits, Split{Pieces: []Piece{{Path: f.Path, Len: -1, Stamp: f.Stamp}}})
	}
	for i := range int64(1000) {
		splits = append(splits, Split{Pieces: []Piece{{Path: "/large/file", Off: i << 24, Len: 1 << 24, Stamp: Stamp{
			Dev: 1<<64 - 1, Ino: 1 << 63, Size: 1 << 40, Mtime: -5, Ctime: 1<<63 - 1,
		}}}})
	}
	splits = append(splits, someSplit(), Split{})
	prefix := []byte("before")
	data := AppendSplits(prefix, splits)
	got, err := DecodeSplits(data[len(prefix):])
	if err != nil || !reflect.DeepEqual(got, splits) {
		t.Fatalf("the splits are not what they were: %v", err)
	}
	if perRange := len(AppendSplits(nil, splits[1000:2000])) / 1000; perRange > 20 {
		t.Errorf("%d bytes for a range of a file", perRange)
	}
	var b bytes.Buffer // as net/rpc would
	s := Split{}
	if err := gob.NewEncoder(&b).Encode(someSplit()); err != nil {
		t.Fatal(err)
	}
	if err := gob.NewDecoder(&b).Decode(&s); err != nil || !reflect.DeepEqual(s, someSplit()) {
		t.Fatalf("%v after gob, %v", s, err)
	}
}

func TestDecodeSplitsRefuses(t *testing.T) {
	good := AppendSplits(nil, []Split{someSplit()})
	for i := range good {
		if _, err := DecodeSplits(good[:i]); err == nil {
			t.Errorf("the first %d bytes pass", i)
		}
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		if _, err := DecodeSplits(bad); err == nil {
			t.Errorf("byte %d flipped passes", i)
		}
	}
	bad := func(p Piece) []byte { return AppendSplits(nil, []Split{{Pieces: []Piece{p}}}) }
	for name, data := range map[string][]byte{
		"bytes behind":    seal(append(good[:len(good)-4:len(good)-4], 0)),
		"many splits":     seal([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0}),
		"many pieces":     seal(append([]byte{1, 1, 50, 50}, make([]byte, 100)...)),
		"too few pieces":  seal(append([]byte{1, 1, 2, 1}, make([]byte, 18)...)),
		"shared too long": seal(append([]byte{1, 1, 1, 1, 1}, make([]byte, 8)...)),
		"padded number":   seal([]byte{1, 0x80, 0, 0}),
		"negative offset": bad(Piece{Off: -1, Len: 5}),
		"odd length":      bad(Piece{Len: -2}),
		"whole, not at 0": bad(Piece{Off: 1, Len: -1}),
		"negative size":   bad(Piece{Stamp: Stamp{Size: -1}}),
		"long path":       bad(Piece{Path: string(make([]byte, maxPath+1))}),
		"two splits":      AppendSplits(nil, []Split{{}, {}}),
	} {
		var s encoding.BinaryUnmarshaler = new(Split)
		if err := s.UnmarshalBinary(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// seal adds the checksum.
func seal(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(slices.Clip(body), castagnoli(body))
}

// FuzzDecodeSplits takes bodies without their checksum, which would keep the fuzzer out.
func FuzzDecodeSplits(f *testing.F) {
	for _, splits := range [][]Split{nil, {{}}, {someSplit()}, {someSplit(), {}, someSplit()}} {
		data := AppendSplits(nil, splits)
		f.Add(data[:len(data)-4])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		splits, err := DecodeSplits(seal(body))
		if err != nil {
			return
		}
		again, err := DecodeSplits(AppendSplits(nil, splits))
		if err != nil || !reflect.DeepEqual(again, splits) {
			t.Fatalf("decoded %v, then %v, %v", splits, again, err)
		}
	})
}

// FuzzText cuts any bytes at any size and in both ways, in memory and streamed: together the splits are
// the file, whatever codec it seems to have.
func FuzzText(f *testing.F) {
	f.Add([]byte("a\nb\r\n\x00\xff\n\nlast"), uint16(3), false)
	f.Add([]byte("\n\n\n\n"), uint16(1), true)
	f.Add(bytes.Repeat([]byte("x"), 100), uint16(7), false)
	f.Add(gzipped([]byte("line\nline\n")), uint16(5), false)
	f.Add(zstded([]byte("line\nline\n")), uint16(500), true)
	f.Add(s2ed([]byte("line\nline\n")), uint16(500), false)
	bz, err := os.ReadFile("testdata/lines.bz2")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bz, uint16(500), false)
	f.Fuzz(func(t *testing.T, data []byte, size uint16, stream bool) {
		if len(data) > 1<<16 || int(size) < len(data)/1000 {
			return
		}
		path := write(t, filepath.Join(t.TempDir(), "f"), data)
		o := Options{}
		if stream {
			o.Buffer = 1
		}
		var all []byte
		chunking := Chunking(size % 2)
		for _, s := range splitsOf(t, CutOptions{SplitSize: int64(size), Chunking: chunking}, path) {
			l := loadSplit(t, s, o)
			blocks, err := drain(l.Blocks(t.Context()))
			if err != nil {
				checkFailure(t, err, path)
			}
			plain := len(l.parts) > 0 && l.parts[0].codec == plainCodec
			l.Close()
			if !plain {
				return // it decodes, or says why not
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, concat(blocks)...)
		}
		if !bytes.Equal(all, data) {
			t.Fatalf("%d bytes of %d", len(all), len(data))
		}
	})
}
