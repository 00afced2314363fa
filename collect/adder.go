package collect

// Adder returns a function that does what Add does, in fewer steps for a key of at most 16
// bytes: to be called for every record, by whoever has a function to hand out. Once the table takes no more, late
// is called instead, but for codecs with a Sizer.
func (t *Table[V]) Adder(late func()) func(key []byte, v V) {
	if t.sizer != nil {
		return t.Add
	}
	if t.adds {
		return t.sumAdder(late)
	}
	return func(key []byte, v V) {
		b := t.batch
		if b == nil {
			late()
			return
		}
		if len(key) > inline {
			t.Add(key, v)
			return
		}
		i := b.n & (batchLen - 1)
		b.key[i].short(key)
		b.val[i] = v
		if b.n = i + 1; i+1 == batchLen {
			t.flush()
		}
	}
}
