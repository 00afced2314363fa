// Package collect turns what a mapper emits into one sorted, combined stream.
//
// The nouns:
//
//   - Table combines records by key in a hash table that fits the processor's
//     cache. A new key takes the place of the one in its row that came least. Of
//     integers to be added up (NewSums) it holds three to a line of the cache.
//   - Buffer holds records (a Table's evicted ones, or all that a mapper
//     without a combiner emits), sorts them, and spills sorted segments to a
//     temporary file when they outgrow the memory budget.
//   - Merge turns many sorted Cursors into one, with a loser tree.
//
// The contract:
//
//   - Drain hands out records in key order (bytes, unsigned, a prefix before
//     its extensions). A Table hands out every key once; a Buffer hands out
//     equal keys in the order they were added.
//   - The result is a pure function of the sequence of Add calls. Options
//     decide where bytes wait and never what comes out.
//   - Add doesn't fail: an error of a temporary file is kept and Drain returns
//     it. After Drain or Discard no memory and no file is held.
//
// Why that holds for a combiner that is not associative to the last bit, such
// as a sum of floats: a key's values are folded from the left in emission
// order. While the key is in the Table they go into one partial result; when it
// is evicted, the partial goes to the Buffer. Evictions depend on the sequence
// of Add calls alone, the Buffer keeps the partials of a key in order, and only
// Drain folds them, again from the left. Where the Buffer cut its segments
// can't matter, because nothing is combined inside of one.
//
// The eviction rule is part of what a result means to the bit; Profile is its
// version and belongs into the identity of a map output.
//
// Of a Table made by NewSums only the set of keys and their sums is defined, which
// no order changes; when its keys leave is in no Profile.
//
// Tables and Buffers serve one goroutine. The package knows next to nothing but the
// standard library, because it also runs inside of job authors' binaries.
package collect
