// Package run writes, reads and merges sorted runs: the outputs of map tasks, as
// rows of blobs.
//
// The nouns:
//
//   - a Writer takes records in key order and writes data blocks, then the index,
//     to a BlockSink;
//   - an Index knows each block's first key, sizes and digest, so that a plan can
//     cut key ranges and a Reader can skip what it doesn't need;
//   - a Reader walks over the records of a key range, a block at a time; Merge
//     walks over those of many runs.
//
// The contract:
//
//   - A run is immutable. Its last blob is the index, and the others are its data
//     blocks in order. Whoever stores it keeps the blobs' order and number.
//   - Digests are BLAKE3 over the records and depend on nothing else: neither on
//     the size of blocks nor on compression. Two runs have the same digest exactly if
//     they hold the same records in the same order.
//   - Every blob carries a checksum, which is checked before anything of it is
//     believed. What fails, or doesn't agree with the index, is a DamageError, which
//     names the blob; errors.Is(err, ErrDamaged) tells it from a failure to read.
//     Decoders don't panic and don't allocate more than the index promised,
//     whatever the bytes.
//   - Writers and Readers serve one goroutine each. BlockSources must allow as many
//     readers as the caller makes.
package run
