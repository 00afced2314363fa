package collect

import "fmt"

// fold is the sink between a Table's Buffer and Drain's sink: it folds the partial
// results of a key, which come next to each other and in order, from the left. A
// key with one partial result, as most are, is never decoded.
type fold[V any] struct {
	combine func(a, b V) V
	codec   Codec[V]
	sink    Sink

	key     []byte
	value   []byte // the one partial result, encoded, while decoded is false
	acc     V      // may refer to held
	held    []byte // copies of the key's values
	enc     []byte // scratch
	decoded bool
	pending bool

	records, bytes int64
}

// heldMax bounds held.
const heldMax = 1 << 20

// Record takes the next partial result.
func (f *fold[V]) Record(key, value []byte) error {
	if f.pending && string(f.key) == string(key) {
		return f.add(value)
	}
	if err := f.flush(); err != nil {
		return err
	}
	f.pending = true
	f.key = append(f.key[:0], key...)
	f.held = f.held[:0]
	f.value = f.hold(value)
	return nil
}

// loneRecord takes the only partial result of a key, as most are: it needs no copy.
func (f *fold[V]) loneRecord(key, value []byte) error {
	if err := f.flush(); err != nil {
		return err
	}
	f.records++
	f.bytes += int64(len(key) + len(value))
	return f.sink.Record(key, value)
}

// hold returns bytes equal to value that stay until the key is done. They end where they end:
// what combine appends to them must not reach the next ones.
func (f *fold[V]) hold(value []byte) []byte {
	start := len(f.held)
	f.held = append(f.held, value...) // what refers to an older array keeps it
	return f.held[start:len(f.held):len(f.held)]
}

func (f *fold[V]) decode(value []byte) (V, error) {
	v, err := f.codec.Decode(value)
	if err != nil {
		err = fmt.Errorf("collect: value of key %.80q: %w", f.key, err)
	}
	return v, err
}

func (f *fold[V]) add(value []byte) (err error) {
	if !f.decoded {
		if f.acc, err = f.decode(f.value); err != nil {
			return err
		}
		f.decoded = true
	}
	if len(f.held) > heldMax {
		// All that acc may refer to moves to an array of its own.
		if f.acc, err = f.decode(f.codec.Append(nil, f.acc)); err != nil {
			return err
		}
		f.held = nil
	}
	v, err := f.decode(f.hold(value))
	if err != nil {
		return err
	}
	f.acc = f.combine(f.acc, v)
	return nil
}

// flush hands on the key that is complete.
func (f *fold[V]) flush() error {
	if !f.pending {
		return nil
	}
	if f.decoded {
		f.enc = f.codec.Append(f.enc[:0], f.acc)
		f.value = f.enc
		f.decoded = false
		var none V
		f.acc = none
	}
	f.pending = false
	f.records++
	f.bytes += int64(len(f.key) + len(f.value))
	return f.sink.Record(f.key, f.value)
}
