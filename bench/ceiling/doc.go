// Ceiling is the yardstick of the benchmarks: a word count written by hand for this one job, that keeps
// nothing, checks nothing, syncs nothing and recovers from nothing. What an engine reaches of its speed
// is what the engine costs.
//
//	ceiling [--workers N] [--stats] FILE > OUT
//
// It splits at ASCII white space and prints word TAB n LF, sorted by the words' bytes.
//
// How it goes: workers read blocks and find the edges of words, 64 bytes at a time (scan.go). Words of up
// to 16 bytes are two integers; each worker counts them in a table of bounded size, whose lines hold the
// three most frequent words that met there (table.go). What does not stay is appended to one of 256
// partitions, which are ranges of words, so that each is merged and sorted within the cache, and printed
// as soon as those before it are (merge.go).
package main
