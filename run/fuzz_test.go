package run

import (
	"bytes"
	"testing"

	"github.com/mrd-io/mr/collect"
)

// seal makes blob's checksum right, so that fuzzing gets behind it.
func seal(blob []byte) []byte {
	b := bytes.Clone(blob)
	if len(b) >= headerLen {
		sum := checksum(b[:12], b[headerLen:])
		b[12], b[13], b[14], b[15] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	}
	return b
}

func FuzzDecodeBlock(f *testing.F) {
	b, _ := write(f, goldenRecords(), Options{BlockSize: 100})
	for _, blob := range b {
		f.Add(blob)
	}
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, blob := range [][]byte{data, seal(data)} {
			payload, err := openBlob(blob, magicData, nil, limit)
			if err != nil {
				continue
			}
			if len(payload) > limit {
				t.Fatalf("payload of %d bytes, at most %d asked for", len(payload), limit)
			}
			// As many records as it says, and one more: both must end.
			var p parser
			p.reset(payload, len(payload)+1)
			n, size := 0, 0
			for p.next() {
				n++
				size += len(p.key) + len(p.value)
			}
			if p.err == nil {
				t.Fatalf("%d records, %d were asked for", n, len(payload)+1)
			}
			if len(p.keyBuf) > len(payload) {
				t.Fatalf("a key of %d bytes in a payload of %d", len(p.keyBuf), len(payload))
			}
			p.reset(payload, len(payload)+1)
			p.err = nil
			for p.skip([]byte("key")) {
			}
			if p.err == nil {
				t.Fatal("more records were asked for, and skipped")
			}
		}
	})
}

func FuzzDecodeIndex(f *testing.F) {
	for _, name := range []string{"words", "long keys", "nothing"} {
		b, _ := write(f, recordSets()[name], Options{BlockSize: 1})
		f.Add(b[len(b)-1])
	}
	b, _ := write(f, goldenRecords(), Options{Unsorted: true})
	f.Add(b[len(b)-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, blob := range [][]byte{data, seal(data)} {
			ix, err := decodeIndex(blob)
			if err != nil {
				continue
			}
			again, err := decodeIndex(indexBlob(ix))
			if err != nil {
				t.Fatalf("a decoded index encodes to something else: %v", err)
			}
			if !bytes.Equal(ix.append(nil), again.append(nil)) {
				t.Fatal("an index changes when it is written again")
			}
			for i := range ix.Blocks {
				from, to := ix.Range(ix.Blocks[i].FirstKey, nil)
				if from > to || to > len(ix.Blocks) {
					t.Fatalf("blocks [%d, %d) of %d", from, to, len(ix.Blocks))
				}
			}
			if ix.ReaderMemory() < 0 {
				t.Fatal("negative memory")
			}
			var c collect.Cursor = NewReader(hostile{data}, ix, []byte("a"), []byte("b"))
			for c.Next() {
			}
		}
	})
}

// hostile answers every read with the same bytes.
type hostile struct{ b []byte }

func (h hostile) ReadBlock(int, []byte) ([]byte, error) { return h.b, nil }
