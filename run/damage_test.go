package run

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenRecords make two blocks, one of them a single record.
func goldenRecords() []record {
	return []record{
		{"", "empty key"}, {"apple", "1"}, {"applet", "2"}, {"applet", "3"}, {"banana\x00", ""},
		{"huge", strings.Repeat("0123456789", 4000)}, {"z", "last"},
	}
}

var update = flag.Bool("update", false, "write testdata/*.hex anew")

// TestGolden holds the byte format: a store of an earlier version must stay
// readable, and the same records must give the same payloads and digests. What s2
// makes of a payload may differ between its versions.
func TestGolden(t *testing.T) {
	b, sum := write(t, goldenRecords(), Options{BlockSize: 100})
	file := filepath.Join("testdata", "golden.hex")
	if *update {
		var s strings.Builder
		for _, blob := range b {
			s.WriteString(hex.Dump(blob) + "\n")
		}
		if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden := readDumps(t, file)
	if err := Verify(golden, len(golden)); err != nil {
		t.Fatal(err)
	}
	ix := golden.index(t)
	if got := read(t, NewReader(golden, ix, nil, nil)); !slices.Equal(got, goldenRecords()) {
		t.Errorf("the golden run holds %.200q", got)
	}
	const digest = "ae3f46c900019c584ab6a105e65f0fc3803aab525052b768f7e6dcf3863ca49c"
	if sum.Digest.String() != digest || ix.Digest.String() != digest {
		t.Errorf("digest %v, in the golden run %v, want %s", sum.Digest, ix.Digest, digest)
	}
	for i := range b[:len(b)-1] {
		got, err := openBlob(b[i], magicData, nil, maxPayload)
		if err != nil {
			t.Fatal(err)
		}
		want, err := openBlob(golden[i], magicData, nil, maxPayload)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the payload of block %d changed, which needs a new version:\n%s", i, hex.Dump(got))
		}
	}
}

// readDumps reads blobs in the form of hexdump -C, an empty line behind each.
func readDumps(t *testing.T, file string) blobs {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var b blobs
	for dump := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		var blob []byte
		for line := range strings.SplitSeq(dump, "\n") {
			digits := strings.ReplaceAll(line[10:58], " ", "")
			row, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			blob = append(blob, row...)
		}
		b = append(b, blob)
	}
	return b
}

// readAll reads a run through its index and returns the first error.
func readAll(b blobs) error {
	ix, err := ReadIndex(b, len(b))
	if err != nil {
		return err
	}
	r := NewReader(b, ix, nil, nil)
	for r.Next() {
	}
	return r.Err()
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	b, _ := write(t, goldenRecords(), Options{BlockSize: 100})
	for i, blob := range b {
		for at := range blob {
			bad := append(blobs(nil), b...)
			bad[i] = bytes.Clone(blob)
			bad[i][at] ^= 1 << (at % 8)
			for what, err := range map[string]error{"reading": readAll(bad), "verifying": Verify(bad, len(bad))} {
				var d *DamageError
				if !errors.Is(err, ErrDamaged) || !errors.As(err, &d) || d.Blob != i {
					t.Fatalf("bit flipped in byte %d of blob %d: %s gives %v", at, i, what, err)
				}
			}
		}
	}
}

func TestLostAndMovedBytesAreFound(t *testing.T) {
	b, _ := write(t, recordSets()["noise"], Options{BlockSize: 100})
	if len(b) < 4 {
		t.Fatal("too few blocks")
	}
	damage := map[string]func(blobs) blobs{
		"truncated block": func(b blobs) blobs { b[1] = b[1][:len(b[1])-1]; return b },
		"empty block":     func(b blobs) blobs { b[1] = nil; return b },
		"zeroed block":    func(b blobs) blobs { b[1] = make([]byte, len(b[1])); return b },
		"swapped blocks":  func(b blobs) blobs { b[0], b[1] = b[1], b[0]; return b },
		"doubled block":   func(b blobs) blobs { b[0] = b[1]; return b },
		"no index":        func(b blobs) blobs { return b[:len(b)-1] },
		"index twice":     func(b blobs) blobs { return append(b, b[len(b)-1]) },
		"nothing":         func(blobs) blobs { return nil },
	}
	for name, f := range damage {
		bad := f(append(blobs(nil), b...))
		if err := Verify(bad, len(bad)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: verify gives %v", name, err)
		}
	}
	if err := Verify(b[:2], len(b)); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a failure to read is not damage: %v", err)
	}
}

// TestVerifyChecksTheIndex gives Verify runs whose checksums are right and whose
// index is not.
func TestVerifyChecksTheIndex(t *testing.T) {
	good, _ := write(t, recordSets()["words"], Options{BlockSize: 1})
	lies := map[string]func(ix *Index){
		"digest":       func(ix *Index) { ix.Digest[0]++ },
		"block digest": func(ix *Index) { ix.Blocks[1].Digest[5]++ },
		"last key":     func(ix *Index) { ix.Last = []byte("a") },
		"first key":    func(ix *Index) { ix.Blocks[1].FirstKey = append(ix.Blocks[1].FirstKey, 0) },
		"overlap":      func(ix *Index) { ix.Blocks[1].Overlap ^= Same },
		"raw bytes":    func(ix *Index) { ix.Blocks[0].Raw++; ix.RawBytes++ },
		"more records": func(ix *Index) { ix.Blocks[0].Records++; ix.Records++ },
		"less records": func(ix *Index) { ix.Blocks[0].Records--; ix.Records-- },
		"payload":      func(ix *Index) { ix.Blocks[0].Payload++ },
		"size":         func(ix *Index) { ix.Blocks[0].Size++; ix.Bytes++ },
		"sums":         func(ix *Index) { ix.Records++ },
	}
	for name, lie := range lies {
		ix := good.index(t)
		lie(ix)
		b := append(blobs(nil), good...)
		b[len(b)-1] = indexBlob(ix)
		if err := Verify(b, len(b)); !errors.Is(err, ErrDamaged) {
			t.Errorf("a lie about %s: %v", name, err)
		}
	}
}

// indexBlob is the index as a Writer stores it.
func indexBlob(ix *Index) []byte {
	b, _ := sealBlob(ix.append(make([]byte, headerLen)), magicIndex, nil, threeQuarters, tryAll)
	return b
}
