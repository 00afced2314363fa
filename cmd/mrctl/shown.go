package main

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of files, arguments of jobs and texts of errors are bytes that others chose. A terminal obeys
// some of them: an escape sequence moves the cursor and sets titles, an override of the writing's
// direction shows a name as another one, a line break makes a row of a table two. What people read
// has these as strconv.Quote would write them, and everything else as it is. What programs read is
// exact: --json, and the lines of logs where stdout is no terminal.

// shown is a name or a word as it is shown on one line.
func shown(s string) string { return escape(s, unshowable) }

// shownText is shown for messages, which may have lines and TABs.
func shownText(s string) string {
	return escape(s, func(c rune) bool { return c != '\n' && c != '\t' && unshowable(c) })
}

// unshowable reports whether a terminal may do something else with c than show it.
func unshowable(c rune) bool {
	return unicode.IsControl(c) || unicode.In(c, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}

// escape writes the runes for which bad holds as in a Go string, and so bytes that are no UTF-8.
func escape(s string, bad func(rune) bool) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, bad) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		if bad(c) || c == utf8.RuneError && n == 1 {
			quoted := strconv.Quote(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// shownRecord is a record of an output on one line: quoted as a whole if it has what can't be shown.
func shownRecord(s string) string {
	if escape(s, func(c rune) bool { return c != '\t' && unshowable(c) }) != s {
		return strconv.QuoteToASCII(s)
	}
	return s
}
