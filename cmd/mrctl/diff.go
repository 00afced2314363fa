package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
)

type diffJSON struct {
	Left     string        `json:"left"`
	Right    string        `json:"right"`
	Parts    []string      `json:"parts"` // that differ, by name
	Ordered  bool          `json:"ordered"`
	Same     int64         `json:"same"` // records
	Changed  int64         `json:"changed"`
	OnlyLeft int64         `json:"only_left"`
	OnlyRght int64         `json:"only_right"`
	Keys     []diffKeyJSON `json:"keys"`
	Inputs   diffInputs    `json:"inputs"`
	Notes    []string      `json:"notes"`
}

type diffKeyJSON struct {
	Key   string   `json:"key"`
	Left  []string `json:"left"`
	Right []string `json:"right"`
}

type diffInputs struct {
	OnlyLeft  []string `json:"only_left"`
	OnlyRight []string `json:"only_right"`
	Changed   []string `json:"changed"`
}

func (a *app) diffCommand() *cobra.Command {
	most := 10
	cmd := &cobra.Command{
		Use:   "diff OUTPUT1 OUTPUT2",
		Short: "Say which parts, keys and inputs of two outputs differ",
		Long: `Say which parts, keys and inputs of two outputs differ. Parts of equal names and digests are not read. The
others are read in step, in the order of their keys, so that outputs of any size can be compared. The exit status is 1
if the records differ.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return mr.Errorf(mr.Usage, "%s needs two OUTPUT folders", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.diff(cmd.Context(), a.abs(args[0]), a.abs(args[1]), most)
		},
	}
	cmd.Flags().IntVar(&most, "most", most, "show up to `N` keys that differ")
	return cmd
}

func (a *app) diff(ctx context.Context, left, right string, most int) error {
	l, err := manifestOf(left)
	if err != nil {
		return err
	}
	r, err := manifestOf(right)
	if err != nil {
		return err
	}
	d := &diffJSON{Left: left, Right: right, Parts: []string{}, Keys: []diffKeyJSON{}, Notes: []string{}}
	d.Parts = differingParts(l, r)
	if len(d.Parts) > 0 {
		if err := compareOutputs(ctx, left, l, right, r, most, d); err != nil {
			return err
		}
	} else {
		for _, p := range l.Parts {
			d.Same += p.Records
		}
		d.Ordered = true
	}
	a.compareInputs(ctx, d)
	return a.printDiff(d)
}

// differingParts are the parts that only one of two outputs has, or that differ.
func differingParts(l, r *engine.Manifest) []string {
	parts := map[string]mr.Digest{}
	for _, p := range l.Parts {
		parts[p.Name] = p.Digest
	}
	names := []string{}
	for _, p := range r.Parts {
		if was, known := parts[p.Name]; !known || was != p.Digest {
			names = append(names, p.Name)
		}
		delete(parts, p.Name)
	}
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// compareInputs says what the two were made from. Outputs whose jobs are not on record
// can be compared all the same.
func (a *app) compareInputs(ctx context.Context, d *diffJSON) {
	d.Inputs = diffInputs{[]string{}, []string{}, []string{}}
	err := a.with(ctx, toRead, nodeOptions{}, func(s *session) error {
		l, err := inputsOf(ctx, s, d.Left)
		if err != nil {
			return err
		}
		r, err := inputsOf(ctx, s, d.Right)
		if err != nil {
			return err
		}
		for span, digest := range l {
			other, both := r[span]
			switch {
			case !both:
				d.Inputs.OnlyLeft = append(d.Inputs.OnlyLeft, span)
			case other != digest:
				d.Inputs.Changed = append(d.Inputs.Changed, span)
			}
		}
		for span := range r {
			if _, both := l[span]; !both {
				d.Inputs.OnlyRight = append(d.Inputs.OnlyRight, span)
			}
		}
		return nil
	})
	if err != nil {
		d.Notes = append(d.Notes, "inputs were not compared: "+err.Error())
	}
	for _, list := range [][]string{d.Inputs.OnlyLeft, d.Inputs.OnlyRight, d.Inputs.Changed} {
		slices.Sort(list)
	}
}

// inputsOf are the ranges of input of an output, with the digests of what was mapped
// from them.
func inputsOf(ctx context.Context, s *session, output string) (map[string]string, error) {
	g, err := s.Lineage(ctx, output, -1)
	if err != nil {
		return nil, err
	}
	spans := map[string]string{}
	for _, n := range g.Nodes {
		if n.Kind != "map" {
			continue
		}
		for _, from := range n.From {
			spans[from] = n.Digest
		}
	}
	return spans, nil
}

func (a *app) printDiff(d *diffJSON) error {
	differs := d.Changed+d.OnlyLeft+d.OnlyRght > 0
	if a.json {
		if err := printJSON(a.out, d); err != nil {
			return err
		}
	} else if _, err := io.WriteString(a.out, a.diffText(d, differs)); err != nil {
		return writeError(err)
	}
	if differs {
		return mr.Errorf(mr.Failed, "%s and %s differ", a.relative(d.Left), a.relative(d.Right))
	}
	return nil
}

func (a *app) diffText(d *diffJSON, differs bool) string {
	var b strings.Builder
	row := func(name, text string) { fmt.Fprintf(&b, "  %-8s %s\n", name, shown(text)) }
	switch {
	case len(d.Parts) == 0:
		row("parts", "all have the same digests")
	default:
		row("parts", plural(len(d.Parts), "part")+" of other digests: "+some(d.Parts))
	}
	unit := "key"
	if !d.Ordered {
		unit = "record"
	}
	row("records", join(comma(d.Same)+" the same", counted(d.Changed, unit+" with other values", unit+"s with other values"),
		counted(d.OnlyLeft, unit+" only in "+a.relative(d.Left), unit+"s only in "+a.relative(d.Left)),
		counted(d.OnlyRght, unit+" only in "+a.relative(d.Right), unit+"s only in "+a.relative(d.Right))))
	if len(d.Parts) > 0 && !differs {
		row("", "the same records, cut into other parts or in another order")
	}
	in := d.Inputs
	for _, g := range []struct {
		name  string
		spans []string
	}{{"only in " + a.relative(d.Left), in.OnlyLeft}, {"only in " + a.relative(d.Right), in.OnlyRight}, {"that gave other map outputs", in.Changed}} {
		if len(g.spans) > 0 {
			row("inputs", plural(len(g.spans), "range")+" "+g.name+": "+some(g.spans))
		}
	}
	for _, n := range d.Notes {
		row("note", n)
	}
	if len(d.Keys) > 0 {
		b.WriteString("\n")
	}
	for _, k := range d.Keys {
		for _, v := range k.Left {
			fmt.Fprintf(&b, "%s\n", a.painted(red, "- "+recordText(k.Key, v)))
		}
		for _, v := range k.Right {
			fmt.Fprintf(&b, "%s\n", a.painted(green, "+ "+recordText(k.Key, v)))
		}
	}
	if more := d.Changed + d.OnlyLeft + d.OnlyRght - int64(len(d.Keys)); more > 0 && len(d.Keys) > 0 {
		fmt.Fprintf(&b, "and %s more; --most N shows up to N\n", comma(more))
	}
	return b.String()
}

// recordText is a record as it stands in the output, made fit for a terminal.
func recordText(key, value string) string {
	text := key
	if value != "" {
		text += "\t" + value
	}
	const most = 200
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return shownRecord(text)
}

func counted(n int64, one, many string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return "1 " + one
	}
	return comma(n) + " " + many
}

// some of the names, and how many more there are.
func some(names []string) string {
	const most = 3
	text := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		text += " and " + comma(more) + " more"
	}
	return text
}
