package mr

// Pass is a reducer that writes every record as it is, key and value, in order: all that a
// sort needs. Records whose text is their encoding, as that of strings, []byte and None is, go
// from the merge to the output without being decoded.
func Pass[K, V any]() Option {
	return reduceOption(&reduceFuncs[K, V, K, V]{pass: pass[K, V]})
}

func pass[K, V any](g *groups[K, V], sink *textSink[K, V]) error {
	// A key's type may have a text of its own, although its encoding is that of a string.
	if g.fold == nil && g.layout.verbatim() && g.codec.l.verbatim() && sink.key.l.verbatim() {
		return passBytes(g, sink)
	}
	for g.nextGroup() {
		for g.more() {
			if !g.decodeLater() {
				return g.err
			}
			if err := sink.write(g.key, g.value); err != nil {
				return err
			}
		}
	}
	return g.err
}

// verbatim reports whether the text of a value is its encoding.
func (l *layout) verbatim() bool {
	return l.single == partString || l.single == partBytes || len(l.parts) == 0
}

// passBytes is pass for records that are not decoded.
func passBytes[K, V any](g *groups[K, V], sink *textSink[K, V]) error {
	for {
		key, value := g.next()
		if g.done || g.err != nil {
			return g.err
		}
		// Groups are counted, as whoever reduces counts them.
		if group := g.traits.Group(key); g.n == 0 || string(group) != string(g.first) {
			g.n++
			g.first = append(g.first[:0], group...)
		}
		sink.n++
		if err := sink.out.Record(key, value); err != nil {
			return err
		}
	}
}
