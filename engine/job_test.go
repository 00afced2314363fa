package engine

import (
	"reflect"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
)

// A job that goes on after a restart is the one that was submitted, to the byte: arguments,
// paths and variables need not be UTF-8.
func TestJobRecordsKeepEveryByte(t *testing.T) {
	for _, s := range []string{"plain", "\xff", "a\xfeb\x00", "\ufffd", `\ufffd`, "<&>\u2028", "\xed\xa0\x80", "\ufffd\xff"} {
		want := record{
			ID: "job_1", Submit: mr.SubmitID(s), State: mr.Running,
			Spec: mr.Spec{
				Job: "count", Args: []string{"--sep", s}, Inputs: []string{"/in/" + s}, Output: "/out/" + s,
				Code: mr.Code{Path: "/bin/" + s, Source: "./" + s, Digest: mr.Digest{1, 2}},
			},
			Traits: mr.Traits{Job: "count", Params: []mr.Param{{Name: "--sep", Value: s}}},
			Env:    []plan.Component{{Name: "LANG", Value: s}},
		}
		b, err := encodeJob(&want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeJob(b)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%q: the record is %+v, want %+v", s, *got, want)
		}
		if gob := strings.Contains(string(b), `"Exact"`); gob && s == "plain" {
			t.Errorf("%q: is on record twice", s)
		}
	}
	b, _ := encodeJob(&record{Submit: "\xff"})
	b = []byte(strings.Replace(string(b), `"Exact":"`, `"Exact":"AAAA`, 1))
	if _, err := decodeJob(b); err == nil || !strings.Contains(err.Error(), "cannot read") {
		t.Errorf("a damaged record: %v", err)
	}
}
