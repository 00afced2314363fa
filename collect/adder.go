package collect

// Adder returns a function that does what Add does, in fewer steps for a key of at most 16
// bytes with as many behind its beginning, as a word in a text is: to be called for every
// record, by whoever has a function to hand out. Once the table takes no more, late
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
		n := len(key)
		if n > inline || cap(key) < inline {
			t.Add(key, v)
			return
		}
		i := b.n & (batchLen - 1)
		p := &b.key[i]
		p.size = uint16(n + 1)
		p.a, p.b = halves(key[:inline], n)
		p.hash = hashShort(p.a, p.b, n)
		b.val[i] = v
		if b.n = i + 1; i+1 == batchLen {
			t.flush()
		}
	}
}
