// Package builtin holds the jobs that come in the box: wordcount, grep, sort, index and
// count. They are ordinary jobs, written with the same API as everybody else's.
//
// Each has a version constant, which is its code's identity in cache keys, and a golden
// digest of its output on fixed input in the tests. Whoever changes what a job computes
// changes both; a change that keeps every output, such as a faster one, changes neither.
//
// What the jobs mean by their words:
//
//   - A record is a line without its end, a fixed number of bytes, or a whole file.
//   - ASCII white space is space, TAB, LF, VT, FF and CR.
//   - Bytes that are not valid UTF-8 are no letters and have no case; they are never
//     replaced.
package builtin
