package store

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
)

// TestRecordGolden holds the format of run records: what is on disk now must be readable
// for ever. A change here is a new version.
func TestRecordGolden(t *testing.T) {
	for _, c := range []struct {
		name string
		rec  record
		hex  string
	}{
		{
			"in a volume",
			record{blobs: 3, bytes: 70_000, volume: 12, place: 5<<32 | 7},
			"01" + "00" + "00000003" + "0000000000011170" + "0000000c" + "0000000500000007" + "e8c05d26",
		},
		{
			"inline",
			record{blobs: 2, bytes: 5, sizes: []uint32{2, 3}, data: []byte("abcde")},
			"01" + "01" + "00000002" + "0000000000000005" + "00000002" + "00000003" + "6162636465" + "0a3789dc",
		},
		{
			"empty",
			record{sizes: []uint32{}, data: []byte{}},
			"01" + "01" + "00000000" + "0000000000000000" + "12be5ad2",
		},
	} {
		got := c.rec.append(nil)
		if hex.EncodeToString(got) != c.hex {
			t.Errorf("%s: %x and not %s", c.name, got, c.hex)
		}
		back, err := parseRecord(got)
		if err != nil || !reflect.DeepEqual(back, c.rec) {
			t.Errorf("%s: read back as %+v, %v", c.name, back, err)
		}
		for i := range got {
			bad := bytes.Clone(got)
			bad[i] ^= 0x10
			if r, err := parseRecord(bad); err == nil {
				t.Errorf("%s: with byte %d changed it reads as %+v", c.name, i, r)
			}
			if r, err := parseRecord(got[:i]); err == nil {
				t.Errorf("%s: cut to %d bytes it reads as %+v", c.name, i, r)
			}
		}
	}
	if key := hex.EncodeToString(blobKey(nil, 5<<32|7, 9)); key != "000000050000000700000009" {
		t.Errorf("blob key %s", key)
	}
	v := volume{number: 12}
	s := &Store{id: [16]byte{0: 0xa0, 15: 0xaf}}
	if head := hex.EncodeToString(v.head(s)); head != "00000001"+"0000000c"+"a00000000000000000000000000000af" {
		t.Errorf("volume head %s", head)
	}
}

func FuzzParseRecord(f *testing.F) {
	r := record{blobs: 2, bytes: 5, sizes: []uint32{2, 3}, data: []byte("abcde")}
	f.Add(r.append(nil))
	r = record{blobs: 3, bytes: 70_000, volume: 12, place: 5<<32 | 7}
	f.Add(r.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err == nil && !bytes.Equal(r.append(nil), b) {
			t.Errorf("%x reads as %+v, which is written as %x", b, r, r.append(nil))
		}
	})
}
