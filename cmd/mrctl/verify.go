package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/zeebo/blake3"

	mr "github.com/mrd-io/mr"
	"github.com/mrd-io/mr/engine"
)

type verifyJSON struct {
	Output string      `json:"output"`
	Job    mr.JobID    `json:"job"`
	Parts  int         `json:"parts"`
	Bytes  int64       `json:"bytes"`
	Faults []string    `json:"faults"`
	Reruns []rerunJSON `json:"reruns"`
}

type rerunJSON struct {
	Task     string  `json:"task"`
	Split    string  `json:"split"`
	Recorded string  `json:"recorded"`
	Got      string  `json:"got"`
	Same     bool    `json:"same"`
	Error    string  `json:"error"`
	CPU      float64 `json:"cpu"`
}

func (a *app) verifyCommand() *cobra.Command {
	rerun := 0
	cmd := &cobra.Command{
		Use:   "verify OUTPUT [--rerun N]",
		Short: "Compare an output's parts with its manifest, and tasks with a second execution",
		Long: `Compare the parts of an output folder with its manifest: names, sizes and digests. With --rerun, also execute N of
the map tasks that made it again, chosen at random, and compare what they make with what is on record. The exit status
is 1 if something differs, or a task can't be executed again because its input has changed.`,
		Args: oneArg("an OUTPUT folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rerun < 0 {
				return mr.Errorf(mr.Usage, "--rerun %d: the number of tasks cannot be negative", rerun)
			}
			return a.verify(cmd.Context(), a.abs(args[0]), rerun)
		},
	}
	cmd.Flags().IntVar(&rerun, "rerun", 0, "execute `N` of its map tasks again")
	return cmd
}

func (a *app) verify(ctx context.Context, output string, rerun int) error {
	v := verifyJSON{Output: output, Faults: []string{}, Reruns: []rerunJSON{}}
	m, err := manifestOf(output)
	if err != nil {
		return err
	}
	v.Job, v.Parts = m.Job, len(m.Parts)
	known := map[string]bool{}
	for _, p := range m.Parts {
		known[p.Name] = true
		if err := ctx.Err(); err != nil {
			return err
		}
		fault, err := checkPart(filepath.Join(output, p.Name), p)
		if err != nil {
			return err
		}
		if fault != "" {
			v.Faults = append(v.Faults, p.Name+": "+fault)
		} else {
			v.Bytes += p.Bytes
		}
	}
	files, err := filepath.Glob(filepath.Join(globQuoted(output), "part-*"))
	if err != nil {
		return mr.Errorf(mr.Failed, "listing %s: %w", output, err)
	}
	for _, f := range files {
		if name := filepath.Base(f); !known[name] {
			v.Faults = append(v.Faults, name+": not in the manifest")
		}
	}
	if !exists(filepath.Join(output, "_SUCCESS")) {
		v.Faults = append(v.Faults, "_SUCCESS is missing")
	}
	if rerun > 0 {
		if err := a.rerun(ctx, &v, rerun); err != nil {
			return err
		}
	}
	return a.printVerify(&v)
}

// manifestOf reads an output's manifest.
func manifestOf(output string) (*engine.Manifest, error) {
	m, err := engine.ReadManifest(output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, mr.Errorf(mr.NotFound, "%s has no _manifest.json: it is no output folder of a job that succeeded", output)
	case err != nil:
		return nil, mr.Errorf(mr.Failed, "the manifest of %s cannot be read: %w", output, err)
	}
	return m, nil
}

// globQuoted is a path as a pattern for itself alone.
func globQuoted(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// checkPart says what is wrong with a part, or nothing.
func checkPart(path string, p engine.ManifestPart) (fault string, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "missing", nil
	}
	if err != nil {
		return "", mr.Errorf(mr.Failed, "part: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	h := blake3.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return "", mr.Errorf(mr.Failed, "part: %w", err)
	}
	var d mr.Digest
	h.Sum(d[:0])
	switch {
	case n != p.Bytes:
		return fmt.Sprintf("%s bytes, and %s in the manifest", comma(n), comma(p.Bytes)), nil
	case d != p.Digest:
		return fmt.Sprintf("digest %s, and %s in the manifest", d.Short(), p.Digest.Short()), nil
	}
	return "", nil
}

func (a *app) rerun(ctx context.Context, v *verifyJSON, n int) error {
	return a.with(ctx, toChange, nodeOptions{Idle: true}, func(s *session) error {
		t, err := s.tracer()
		if err != nil {
			return err
		}
		list, err := t.Rerun(ctx, v.Output, n)
		for _, r := range list {
			v.Reruns = append(v.Reruns, rerunJSON(r))
			switch {
			case r.Error != "":
				v.Faults = append(v.Faults, fmt.Sprintf("%s could not be executed again: %s", r.Task, r.Error))
			case !r.Same:
				v.Faults = append(v.Faults, fmt.Sprintf("%s (%s) came out different: digest %.12s, and %.12s on record; the job's code is not deterministic, or its output was damaged", r.Task, r.Split, r.Got, r.Recorded))
			}
		}
		return err
	})
}

func (a *app) printVerify(v *verifyJSON) error {
	if a.json {
		if err := printJSON(a.out, v); err != nil {
			return err
		}
	} else {
		for _, f := range v.Faults {
			if _, err := fmt.Fprintf(a.out, "%s\n", shown(f)); err != nil {
				return writeError(err)
			}
		}
		words := []string{fmt.Sprintf("%s as in the manifest", plural(v.Parts, "part")), bytesOf(v.Bytes)}
		if len(v.Reruns) > 0 {
			same := 0
			for _, r := range v.Reruns {
				if r.Same {
					same++
				}
			}
			words = append(words, fmt.Sprintf("%s of %s executed again came out the same", comma(same), plural(len(v.Reruns), "map task")))
		}
		if len(v.Faults) == 0 {
			if _, err := fmt.Fprintln(a.out, join(words...)); err != nil {
				return writeError(err)
			}
		}
	}
	missed := 0
	for _, r := range v.Reruns {
		if r.Error != "" {
			missed++
		}
	}
	switch n := len(v.Faults) - missed; {
	case n == 0 && missed > 0: // which says nothing of the output
		return mr.Errorf(mr.Failed, "%s has the parts of job %s, but %s of %s could not be executed again", a.relative(v.Output), v.Job, comma(missed), plural(len(v.Reruns), "map task"))
	case n > 0:
		return mr.Errorf(mr.Failed, "%s is not what job %s made: %s", a.relative(v.Output), v.Job, plural(n, "fault"))
	}
	return nil
}
