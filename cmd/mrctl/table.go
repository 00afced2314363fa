package main

import (
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	mr "github.com/mrd-io/mr"
)

// table is rows of text in aligned columns, with two spaces between them.
type table struct {
	head  []string // a name that begins with > is of a column of numbers, aligned at the right
	rows  [][]string
	paint func(row int, column int, padded string) string // may colour a cell; nil: none
}

func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = shown(cells[i])
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(w io.Writer) error {
	right := make([]bool, len(t.head))
	width := make([]int, len(t.head))
	names := make([]string, len(t.head))
	for i, h := range t.head {
		names[i], right[i] = strings.CutPrefix(h, ">")
		width[i] = utf8.RuneCountInString(names[i])
		for _, row := range t.rows {
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	var text strings.Builder
	writeRow := func(n int, cells []string) {
		line := ""
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if right[i] {
				cell = pad + cell
			} else if i < len(cells)-1 {
				cell += pad
			}
			if t.paint != nil && n >= 0 {
				cell = t.paint(n, i, cell)
			}
			if i > 0 {
				line += "  "
			}
			line += cell
		}
		text.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if strings.Join(names, "") != "" {
		writeRow(-1, names)
	}
	for n, row := range t.rows {
		writeRow(n, row)
	}
	_, err := io.WriteString(w, text.String())
	return writeError(err)
}

// ago is t as people say it.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if d := now.Sub(t); d >= 0 && d < time.Second {
		return "now"
	}
	return humanize.RelTime(t, now, "ago", "from now")
}

// The colours of states, which are the only colours of tables.
const (
	green  = "\x1b[32m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	plain  = "\x1b[0m"
)

func stateColour(s mr.State) string {
	switch s {
	case mr.Succeeded:
		return green
	case mr.FailedJob, mr.Lost:
		return red
	case mr.Killed:
		return yellow
	case mr.Cached, mr.Running:
		return cyan
	default:
		return plain
	}
}

func (a *app) painted(colour, text string) string {
	if !a.colour() {
		return text
	}
	return colour + text + plain
}
