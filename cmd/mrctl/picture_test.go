package main

import (
	"strings"
	"testing"

	mr "github.com/mrd-io/mr"
)

// Merges that hold merges stand in columns of their own, left of what is made of them.
func TestPictureOfNestedMerges(t *testing.T) {
	l := mr.Lineage{Nodes: []mr.LineageNode{
		{ID: "part-r-00000", Kind: "part", From: []string{"r-00000"}},
		{ID: "r-00000", Kind: "reduce", From: []string{"n-outer", "m-00004"}},
		{ID: "n-outer", Kind: "merge", From: []string{"n-inner", "m-00002"}},
		{ID: "n-inner", Kind: "merge", From: []string{"m-00000", "m-00001"}},
		{ID: "m-00000", Kind: "map"}, {ID: "m-00001", Kind: "map"}, {ID: "m-00002", Kind: "map"}, {ID: "m-00004", Kind: "map"},
	}}
	var got []string
	for _, c := range columns(l) {
		var ids []string
		for _, n := range c.nodes {
			ids = append(ids, n.ID)
		}
		got = append(got, strings.Join(ids, " "))
	}
	want := "m-00000 m-00001 m-00002 m-00004 | n-inner | n-outer | r-00000 | part-r-00000"
	if s := strings.Join(got, " | "); s != want {
		t.Errorf("columns %s, want %s", s, want)
	}
	if svg := lineageSVG(l, "out"); strings.Count(svg, "<path") != 7 {
		t.Errorf("%d edges are drawn of 7", strings.Count(svg, "<path"))
	}
}
