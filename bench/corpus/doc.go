// Package corpus makes the inputs of the benchmarks: text, sort records, access logs and trees of
// small files.
//
// Contract: the bytes depend on the kind, the seed and the size alone, on every machine (all arithmetic
// is on integers; golden digests in the tests hold it). A longer output of a stream begins with the
// shorter one, up to the shorter one's last line. Everything is streamed.
//
// Invariant: no stretch of an output repeats. An engine that keeps what it has computed would compute
// equal splits once, and a benchmark of such input would measure nothing.
package corpus
