package engine

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mrd-io/mr"
	"github.com/mrd-io/mr/plan"
	"github.com/mrd-io/mr/store"
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

// A start looks for the jobs that have not ended by their state alone, wherever else a record has
// what reads like one.
func TestOpenJobs(t *testing.T) {
	s, err := store.Open(t.TempDir(), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	hostile := []string{"", `"State":"SUCCEEDED"`, `{"State":"FAILED"}`, `\`, `"`, `}]"State":"KILLED"`, "State", "\xff\"State\":\"FAILED\""}
	states := []mr.State{mr.Pending, mr.Running, mr.Succeeded, mr.FailedJob, mr.Killed}
	var all, want []mr.JobID
	err = s.Update(func(tx *store.Tx) error {
		all, want = nil, nil
		for _, text := range hostile {
			for _, state := range states {
				r := &record{ID: mr.JobID(fmt.Sprintf("job_%03d", len(all))), State: state, Error: text, Submit: mr.SubmitID(text)}
				r.Spec.Args, r.Traits.Params = []string{text, "State"}, []mr.Param{{Name: "State", Value: "FAILED"}}
				r.Env = []plan.Component{{Name: "State", Value: text}}
				all = append(all, r.ID)
				if !state.Done() {
					want = append(want, r.ID)
				}
				if err := putJob(tx, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(func(tx *store.Tx) error {
		open, err := openJobs(tx)
		var got []mr.JobID
		for _, r := range open {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("jobs that have not ended: %v, want %v", got, want)
		}
		got = nil
		last := lastJobs(tx, all[7], func(r *record) bool { got = append(got, r.ID); return len(got) < 3 })
		if want := []mr.JobID{all[6], all[5], all[4]}; !slices.Equal(got, want) {
			t.Errorf("the last jobs before %s: %v, want %v", all[7], got, want)
		}
		return errors.Join(err, last)
	})
	if err != nil {
		t.Error(err)
	}
	for _, damaged := range []string{"{", `{"State":"RUNN`, `{"State":7}`, `{"a\`, `"State"`, ""} {
		err := s.Update(func(tx *store.Tx) error { return tx.Put(store.Jobs, []byte("x"), []byte(damaged)) })
		if err != nil {
			t.Fatal(err)
		}
		if err := s.View(func(tx *store.Tx) error { _, err := openJobs(tx); return err }); mr.KindOf(err) != mr.Damaged {
			t.Errorf("a record %q: %v", damaged, err)
		}
	}
}

func TestTopString(t *testing.T) {
	for object, want := range map[string]string{
		`{"State":"RUNNING"}`: "RUNNING",
		`{"a":{"State":"FAILED"},"b":[{"State":"KILLED"}],"State":"RUNNING"}`: "RUNNING",
		`{"a":{"State":"FAILED"}}`:                      "",
		`{"a":"}","b":"\"State\":\"KILLED\"","c":"\\"}`: "",
		`{"a":"State","State":"PENDING","State":"x"}`:   "PENDING",
		`["State",{"State":"FAILED"}]`:                  "",
		`{"State":7}`:                                   "",
		`{"State":"RUNN`:                                "RUNN", // of no state's name
		`{"a\`:                                          "",
		``:                                              "",
	} {
		if got := topString([]byte(object), "State"); got != want {
			t.Errorf("%s: %q, want %q", object, got, want)
		}
	}
}
