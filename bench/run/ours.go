package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
)

// status is what the rows read of mrctl run --json; see the object's description in the manual.
type status struct {
	State   string `json:"state"`
	Error   string `json:"error"`
	Map     phase  `json:"map"`
	Reduce  phase  `json:"reduce"`
	Seconds struct{ Elapsed, Map, Reduce, Plan, Commit, Read, Sort, Merge, Output float64 }
}

type phase struct {
	Tasks  int `json:"tasks"`
	Cached int `json:"cached"`
	Run    int `json:"run"`
}

// store is the folder of the store; a contest deletes it after each run.
func (l *lab) store() string { return filepath.Join(l.dir, "store") }

// job is a run of mrctl: a job with its flags, over an input.
func (l *lab) job(input string, args ...string) func(out string) command {
	return func(out string) command {
		argv := append([]string{l.mrctl, "run"}, args...)
		return command{argv: append(argv, "--input", input, "--output", out, "--store", l.store(), "--json", "--quiet"), dir: l.root}
	}
}

// run runs a job on the store as it is, deletes its output, and returns what it measured and said, and its
// answer as a set of lines.
func (l *lab) run(ctx context.Context, c command, out string) (s sample, st status, answer string, err error) {
	if s, err = l.once(ctx, c); err != nil {
		return s, st, "", err
	}
	if st, err = statusOf(s); err != nil {
		return s, st, "", err
	}
	answer, err = l.partLines(out, s)
	l.remove(out)
	return s, st, answer, err
}

// times says where the time went, as the engine tells it. Phases overlap.
func (st status) times() string {
	t := st.Seconds
	return fmt.Sprintf("job %.2f s: plan %.2f, map %.2f (read %.2f, sort %.2f), reduce %.2f (merge %.2f, output %.2f), commit %.2f",
		t.Elapsed, t.Plan, t.Map, t.Read, t.Sort, t.Reduce, t.Merge, t.Output, t.Commit)
}

func statusOf(s sample) (st status, err error) {
	if err := json.Unmarshal(s.stdout, &st); err != nil {
		return st, fmt.Errorf("mrctl run --json: %w", err)
	}
	if st.State != "SUCCEEDED" {
		return st, fmt.Errorf("mrctl run: %s: %s", st.State, st.Error)
	}
	return st, nil
}

// cold checks that a run computed everything.
func cold(_ string, s sample) error {
	st, err := statusOf(s)
	if err == nil && (st.Map.Cached > 0 || st.Map.Run == 0) {
		err = fmt.Errorf("the cold run took %d of %d map tasks from the store", st.Map.Cached, st.Map.Tasks)
	}
	return err
}

// partLines digests an output folder as a set of lines.
func (l *lab) partLines(out string, _ sample) (string, error) {
	ps, err := parts(out)
	if err != nil {
		return "", err
	}
	return l.digest.lines(nil, ps...)
}

// partBytes digests an output folder as a sequence of bytes.
func (l *lab) partBytes(out string, _ sample) (string, error) {
	ps, err := parts(out)
	if err != nil {
		return "", err
	}
	return bytesDigest(ps...)
}
