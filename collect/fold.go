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
	acc     V
	decoded bool
	pending bool

	records, bytes int64
}

// Record takes the next partial result.
func (f *fold[V]) Record(key, value []byte) error {
	if f.pending && string(f.key) == string(key) {
		return f.add(value)
	}
	if err := f.flush(); err != nil {
		return err
	}
	f.key = append(f.key[:0], key...)
	f.value = append(f.value[:0], value...)
	f.pending = true
	return nil
}

func (f *fold[V]) add(value []byte) error {
	if !f.decoded {
		v, err := f.codec.Decode(f.value)
		if err != nil {
			return fmt.Errorf("collect: value of key %.80q: %w", f.key, err)
		}
		f.acc, f.decoded = v, true
	}
	v, err := f.codec.Decode(value)
	if err != nil {
		return fmt.Errorf("collect: value of key %.80q: %w", f.key, err)
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
		f.value = f.codec.Append(f.value[:0], f.acc)
		f.decoded = false
		var none V
		f.acc = none
	}
	f.pending = false
	f.records++
	f.bytes += int64(len(f.key) + len(f.value))
	return f.sink.Record(f.key, f.value)
}
