package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	mr "github.com/mrd-io/mr"
)

// lineageDot writes a graph in the language of Graphviz.
func lineageDot(l mr.Lineage) string {
	var b strings.Builder
	b.WriteString("digraph lineage {\n\trankdir=LR\n\tnode [shape=box fontname=\"sans-serif\"]\n")
	for _, n := range l.Nodes {
		head, tail := nodeLines(n)
		fmt.Fprintf(&b, "\t%q [label=%q]\n", n.ID, strings.TrimSpace(head+"\n"+tail))
	}
	for _, n := range l.Nodes {
		for _, from := range n.From {
			fmt.Fprintf(&b, "\t%q -> %q\n", from, n.ID)
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// nodeLines are a node's two lines in a picture.
func nodeLines(n mr.LineageNode) (head, tail string) {
	if n.Kind == "input" {
		path, span := n.ID, ""
		if i := strings.LastIndexByte(n.ID, '@'); i >= 0 {
			path, span = n.ID[:i], n.ID[i+1:]
		}
		return filepath.Base(path), span
	}
	words := []string{}
	switch {
	case n.Kind == "part":
		words = append(words, n.Label)
	case n.State == mr.Cached:
		words = append(words, "cached", orElse(seconds(n.CPU), "0 s")+" saved")
	default:
		words = append(words, strings.ToLower(string(n.State)), orElse(seconds(n.CPU), "0 s"))
	}
	if n.Digest != "" {
		words = append(words, n.Digest[:min(8, len(n.Digest))])
	}
	return n.ID, strings.Join(words, " · ")
}

// The measures of a picture, in pixels.
const (
	boxWidth, boxHeight = 230, 44
	gapAcross, gapDown  = 110, 12
	margin, title       = 24, 56
	mostBoxes           = 60 // in a column; the others are counted
	mostLetters         = 34 // in a line of a box
)

// column is the nodes of one kind, from top to bottom.
type column struct {
	kind  string
	depth int // of merge nodes: how many of them lie one below the other
	head  string
	nodes []mr.LineageNode
	more  int
}

// lineageSVG draws a graph: the parts at the right, and what they come from to their
// left, down to the ranges of input.
func lineageSVG(l mr.Lineage, output string) string {
	cols := columns(l)
	type place struct{ x, y int }
	at := map[string]place{}
	height := 0
	for i, c := range cols {
		for k, n := range c.nodes {
			at[n.ID] = place{margin + i*(boxWidth+gapAcross), title + margin + k*(boxHeight+gapDown)}
		}
		height = max(height, (len(c.nodes)+min(c.more, 1))*(boxHeight+gapDown))
	}
	width := 2*margin + len(cols)*boxWidth + (len(cols)-1)*gapAcross
	height += title + 2*margin
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%d" y="24" font-size="15" font-weight="bold">%s</text>`+"\n", margin, escaped(output+", made by "+string(l.Job)))
	for i, c := range cols {
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#666666">%s</text>`+"\n", margin+i*(boxWidth+gapAcross), title, escaped(c.head))
	}
	for _, c := range cols {
		for _, n := range c.nodes {
			to := at[n.ID]
			for _, id := range n.From {
				from, drawn := at[id]
				if !drawn {
					continue
				}
				x1, y1, x2, y2 := from.x+boxWidth, from.y+boxHeight/2, to.x, to.y+boxHeight/2
				half := (x1 + x2) / 2
				fmt.Fprintf(&b, `<path d="M%d %d C%d %d %d %d %d %d" fill="none" stroke="#9aa5b1" stroke-width="1.2"/>`+"\n", x1, y1, half, y1, half, y2, x2, y2)
			}
		}
	}
	for _, c := range cols {
		for _, n := range c.nodes {
			drawBox(&b, n, at[n.ID].x, at[n.ID].y)
		}
		if c.more > 0 {
			p := at[c.nodes[len(c.nodes)-1].ID]
			fmt.Fprintf(&b, `<text x="%d" y="%d" fill="#666666">and %s more</text>`+"\n", p.x+10, p.y+boxHeight+gapDown+16, comma(c.more))
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func drawBox(b *strings.Builder, n mr.LineageNode, x, y int) {
	fill, stroke := "#f4f6f8", "#8895a3"
	switch {
	case n.Kind == "part":
		fill, stroke = "#e8f1ff", "#3b73c4"
	case n.State == mr.Cached:
		fill, stroke = "#e0f5f1", "#2a9d8f"
	case n.State == mr.Lost:
		fill, stroke = "#fde8e8", "#c0392b"
	case n.Kind == "map" || n.Kind == "merge" || n.Kind == "reduce":
		fill, stroke = "#fff6dd", "#c79a1b"
	}
	head, tail := nodeLines(n)
	full := strings.TrimSpace(strings.Join([]string{n.ID, n.Label, n.Code, attemptWords(n), n.Digest}, "\n"))
	fmt.Fprintf(b, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" stroke="%s"/>`, escaped(full), x, y, boxWidth, boxHeight, fill, stroke)
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text>`, x+10, y+18, escaped(shortened(head)))
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="#444444" font-size="11">%s</text></g>`+"\n", x+10, y+35, escaped(shortened(tail)))
}

// columns puts the nodes side by side, each kind in the order of what is made of it, so
// that edges cross little.
func columns(l mr.Lineage) []column {
	cols := []column{{kind: "input", head: "input"}, {kind: "map", head: "map tasks"}}
	depths := mergeDepths(l)
	for depth := 1; slices.Contains(slices.Collect(maps.Values(depths)), depth); depth++ {
		cols = append(cols, column{kind: "merge", head: "kept merges", depth: depth})
	}
	cols = append(cols, column{kind: "reduce", head: "reduce tasks"}, column{kind: "part", head: "parts"})
	rank := map[string]float64{}
	for i := len(cols) - 1; i >= 0; i-- {
		c := &cols[i]
		sum, n := map[string]float64{}, map[string]float64{}
		if i+1 < len(cols) {
			for _, u := range cols[i+1].nodes {
				for _, id := range u.From {
					sum[id] += rank[u.ID]
					n[id]++
				}
			}
		}
		for _, node := range l.Nodes {
			if node.Kind == c.kind && depths[node.ID] == c.depth {
				c.nodes = append(c.nodes, node)
			}
		}
		if i+1 < len(cols) {
			slices.SortStableFunc(c.nodes, func(a, b mr.LineageNode) int {
				return cmp.Compare(sum[a.ID]/max(n[a.ID], 1), sum[b.ID]/max(n[b.ID], 1))
			})
		}
		for k, node := range c.nodes {
			rank[node.ID] = float64(k)
		}
		if len(c.nodes) > mostBoxes {
			c.more = len(c.nodes) - mostBoxes
			c.nodes = c.nodes[:mostBoxes]
		}
	}
	return slices.DeleteFunc(cols, func(c column) bool { return len(c.nodes) == 0 })
}

// mergeDepths are how many merge nodes lie one below the other, from each of them down.
func mergeDepths(l mr.Lineage) map[string]int {
	depths := map[string]int{}
	for _, n := range slices.Backward(l.Nodes) { // what a node is made from stands behind it
		if n.Kind != "merge" {
			continue
		}
		depth := 0
		for _, id := range n.From {
			depth = max(depth, depths[id])
		}
		depths[n.ID] = depth + 1
	}
	return depths
}

func shortened(s string) string {
	if utf8.RuneCountInString(s) <= mostLetters {
		return s
	}
	r := []rune(s)
	return string(r[:mostLetters-9]) + "…" + string(r[len(r)-8:])
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder's Write has no error
	return b.String()
}

// attemptWords say how a task's output came about.
func attemptWords(n mr.LineageNode) string {
	if n.Attempt == "" {
		return ""
	}
	return "attempt " + n.Attempt
}
