// Run compares mr with the tools that people would use instead, and writes a Markdown table of ratios:
// what make bench does. See bench/README.md for the rows.
//
// The nouns:
//
//   - A lab is a run of the benchmarks: its folder, its binaries, its inputs, its tools.
//   - A row is one line of the table: it makes its input, holds its contest, and returns a finding.
//   - A contestant does a row's work once: ours, the ceiling, or a rival if it is installed.
//   - A series is what a contestant's runs measured; medians are compared.
//
// The contract: contestants take turns (A B A B) on the same bytes, which have been read once and so are in
// the page cache if they fit. Before each run, outside of its time, the contestant's earlier output and
// store are deleted and the file system is synced, so that nobody pays for another's writes. The time is
// that of the process, from its start to its end. The answers of all must be equal: a contestant whose
// answer differs from the first's has no time.
package main
