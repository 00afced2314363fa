package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
)

func (a *app) lineageCommand() *cobra.Command {
	var all, dot, svg bool
	var key string
	most := 0
	cmd := &cobra.Command{
		Use:   "lineage OUTPUT[#PART]",
		Short: "Trace an output back to the ranges of files that it was made from",
		Long: `Trace an output folder, or one of its parts, back through the reduce and map tasks to the ranges of
input files that it was made from, with digests, code, and the job and the attempt that computed each.

With --key, trace one key back to the very records of input that the mapper made it from: the map tasks that
have the key are executed again on smaller and smaller pieces of their input. The key is typed as it stands in
the output; the components of a key with several are separated by TABs.`,
		Example: `  mrctl lineage counts
  mrctl lineage counts#3
  mrctl lineage counts/part-r-00003 --json
  mrctl lineage counts --key whale
  mrctl lineage counts --svg > counts.svg`,
		Args: oneArg("an OUTPUT folder, with #PART or without"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			output, part, err := a.outputPart(args[0])
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("key") {
				if dot || svg {
					return mr.Errorf(mr.Usage, "--key prints records, and no picture; leave --dot and --svg out")
				}
				return a.traceKey(ctx, mr.TraceRequest{Output: output, Part: part, Key: key, Most: most})
			}
			return a.with(ctx, toRead, nodeOptions{}, func(s *session) error {
				l, err := s.Lineage(ctx, output, part)
				if err != nil {
					return err
				}
				text := ""
				switch {
				case a.json:
					return printJSON(a.out, lineageToJSON(l))
				case dot:
					text = lineageDot(l)
				case svg:
					text = lineageSVG(l, a.relative(l.Output))
				default:
					text = a.lineageText(l, all)
				}
				_, err = io.WriteString(a.out, text)
				return writeError(err)
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "show every input range of a task that has many")
	cmd.Flags().StringVar(&key, "key", "", "trace one `KEY` back to the records of input that made it")
	cmd.Flags().IntVar(&most, "most", 20, "with --key, show up to `N` records")
	cmd.Flags().BoolVar(&dot, "dot", false, "print the graph for Graphviz")
	cmd.Flags().BoolVar(&svg, "svg", false, "print the graph as a picture")
	cmd.MarkFlagsMutuallyExclusive("dot", "svg")
	return cmd
}

// outputPart reads OUTPUT, OUTPUT#3, OUTPUT#part-r-00003 and OUTPUT/part-r-00003. part is -1 for all.
func (a *app) outputPart(typed string) (output string, part int, err error) {
	path := a.abs(typed)
	if i := strings.LastIndexByte(path, '#'); i >= 0 && !exists(path) {
		output = filepath.Clean(path[:i])
		part, ok := partNumber(path[i+1:])
		if !ok {
			return "", 0, mr.Errorf(mr.Usage, "%q is not a part; type its number (%s#0) or name (%s#part-r-00000)", path[i+1:], a.relative(output), a.relative(output))
		}
		return output, part, nil
	}
	dir, name := filepath.Split(path)
	if part, ok := partNumber(name); ok && strings.HasPrefix(name, "part-") {
		return filepath.Clean(dir), part, nil
	}
	return path, -1, nil
}

// partNumber reads 3, part-r-00003 or part-m-00003.
func partNumber(s string) (n int, ok bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(s, "part-r-"), "part-m-"))
	return n, err == nil && n >= 0
}

type lineageJSON struct {
	Job    mr.JobID   `json:"job"`
	Output string     `json:"output"`
	Nodes  []nodeJSON `json:"nodes"`
}

type nodeJSON struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Label   string   `json:"label"`
	Digest  string   `json:"digest"`
	State   mr.State `json:"state"`
	Job     mr.JobID `json:"job"`
	Code    string   `json:"code"`
	CPU     float64  `json:"cpu"`
	From    []string `json:"from"`
	Attempt string   `json:"attempt"`
}

func lineageToJSON(l mr.Lineage) lineageJSON {
	out := lineageJSON{Job: l.Job, Output: l.Output, Nodes: []nodeJSON{}}
	for _, n := range l.Nodes {
		out.Nodes = append(out.Nodes, nodeJSON{n.ID, n.Kind, n.Label, n.Digest, n.State, n.Job, n.Code, n.CPU, append([]string{}, n.From...), n.Attempt})
	}
	return out
}

// mostChildren is how many children of a node fit on a screen beside others'.
const mostChildren = 12

// lineageTree prints a graph as trees, a tree a part. What several parts come from is printed once.
type lineageTree struct {
	app   *app
	graph mr.Lineage
	nodes map[string]mr.LineageNode
	shown map[string]bool
	most  int // of a node's children to show
	out   strings.Builder
}

func (a *app) lineageText(l mr.Lineage, all bool) string {
	t := &lineageTree{app: a, graph: l, nodes: map[string]mr.LineageNode{}, shown: map[string]bool{}, most: mostChildren}
	if all {
		t.most = len(l.Nodes)
	}
	for _, n := range l.Nodes {
		t.nodes[n.ID] = n
	}
	fmt.Fprintf(&t.out, "%s, made by %s\n", shown(a.relative(l.Output)), l.Job)
	for _, n := range l.Nodes {
		if n.Kind == "part" {
			t.out.WriteString("\n" + t.describe(n) + "\n")
			t.children(n, "")
		}
	}
	return t.out.String()
}

func (t *lineageTree) children(n mr.LineageNode, indent string) {
	var fresh []string
	seen := 0
	for _, id := range n.From {
		if t.shown[id] {
			seen++
			continue
		}
		t.shown[id] = true
		fresh = append(fresh, id)
	}
	more := max(0, len(fresh)-t.most)
	if more > 0 {
		fresh = fresh[:t.most]
	}
	for i, id := range fresh {
		branch, below := "├─ ", "│  "
		if i == len(fresh)-1 && seen == 0 && more == 0 {
			branch, below = "└─ ", "   "
		}
		child, ok := t.nodes[id]
		if !ok {
			child = mr.LineageNode{ID: id, Kind: "input"}
		}
		t.out.WriteString(indent + branch + t.describe(child) + "\n")
		t.children(child, indent+below)
	}
	if seen > 0 {
		branch := "└─"
		if more > 0 {
			branch = "├─"
		}
		fmt.Fprintf(&t.out, "%s%s %s, as above\n", indent, branch, t.count(seen, n.From[0]))
	}
	if more > 0 {
		fmt.Fprintf(&t.out, "%s└─ and %s more; --all shows them\n", indent, t.count(more, n.From[0]))
	}
}

// count is n of what the node like is, in words.
func (t *lineageTree) count(n int, like string) string {
	switch kind := t.nodes[like].Kind; kind {
	case "map", "reduce":
		return plural(n, kind+" task")
	case "merge":
		return plural(n, "merge node")
	default:
		return plural(n, "input range")
	}
}

// describe is a node on one line: what it is, how it came about, by which code, and its digest.
func (t *lineageTree) describe(n mr.LineageNode) string {
	words := []string{t.app.painted(bold, shown(orElse(n.Label, n.ID)))}
	if n.Label != "" && !strings.Contains(n.Label, n.ID) {
		words = append([]string{shown(n.ID)}, words...)
	}
	if n.State != "" {
		words = append(words, t.app.painted(stateColour(n.State), string(n.State)))
	}
	if n.Job != "" && n.Job != t.graph.Job {
		words = append(words, "of "+string(n.Job))
	}
	if n.CPU > 0 && n.State == mr.Cached {
		words = append(words, "saved "+seconds(n.CPU)+" of CPU")
	} else if n.CPU > 0 {
		words = append(words, seconds(n.CPU)+" of CPU")
	}
	if n.Attempt != "" {
		words = append(words, shown(attemptWords(n)))
	}
	if n.Code != "" && n.Kind != "input" {
		words = append(words, shown(n.Code))
	}
	if n.Digest != "" {
		words = append(words, t.app.painted(dim, n.Digest[:min(12, len(n.Digest))]))
	}
	return strings.Join(words, "  ")
}
