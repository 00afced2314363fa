// Package dfa decides whether texts match an RE2 expression, as package regexp does, and by
// one step a character: by a deterministic automaton whose states are made when they are first
// reached, from the program that package regexp/syntax compiles. Where such states become too
// many it leaves the decision to regexp. The construction is that of Russ Cox, "Regular
// Expression Matching in the Wild" (2010), on characters in place of bytes, so that what is not
// UTF-8 means here what it means to regexp.
package dfa
