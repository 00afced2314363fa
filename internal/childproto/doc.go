// Package childproto is what the daemon and the child process of a job's binary say to
// each other, over one end of a socketpair each; the child's is its file descriptor 3.
//
// Everything is a frame:
//
//	 0      1                  5
//	+------+------------------+-----------------+
//	| type | length, u32 LE   | payload         |
//	+------+------------------+-----------------+
//
// Control frames hold fields, each a list of strings; the first string is its name.
// Strings are bytes, not text. Unknown fields are ignored, missing ones are empty:
//
//	field   = uvarint number of strings, then for each: uvarint length, bytes
//
// A Block frame holds a piece of an input file, a Records frame some records:
//
//	Block   = uvarint path length, path, uvarint offset in the file, u8 last, data
//	Shared  = like Block, but data = uvarint slot, uvarint length: it is in shared memory
//	Release = u8 slot
//	Records = any number of: uvarint key length, uvarint value length, key, value
//
// In a task with the field "tree" in its Start frame, records that come in have a byte in
// front of their value: their level in the tree in which runs are folded.
//
// The conversation (D is the daemon, C the child):
//
//	C: Hello      protocol, the declared jobs
//	D: Configure  job, args, and how many slots of shared memory there are, if any
//	C: Traits     or Error
//	then, for each task:
//	D: Start      stage, format, memory, spill folder, and whether to skip bad records
//	D: Block…, Shared… or Records…, End          and at the same time
//	C: Records…, Release…, Skipped…, then Done with counters, or Error
//
// Blocks of ordinary size travel in shared memory (the child's file descriptor 4), which
// spares two copies: a slot is the child's from its Shared frame to its Release frame.
//
// A Records frame without records is a sign of life: the author's functions take records, but make none of them yet.
//
// A Skipped frame tells a record that was left out of a map task: path, offset, length, reason,
// data.
//
// Both streams of a task flow at the same time, and neither side waits for the other
// with its own stream stopped: the daemon reads and writes in two goroutines. After an
// Error the child is of no more use. A closed socket ends the child.
//
// The protocol has a version, in the child's environment and in Hello. Numbers of frame
// types are append-only.
package childproto
