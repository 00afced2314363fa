package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	mr "github.com/mrd-io/mr"
)

// report prints a job's end: an object with --json, nothing with --quiet, otherwise a summary.
func (a *app) report(s mr.Status) error {
	for _, w := range s.Warnings {
		if strings.HasPrefix(w, "SKIPPED ") && s.State == mr.Succeeded { // rows that are dropped are told even to who asked for quiet
			a.tell(bold+yellow, w)
		}
	}
	if a.json {
		return printJSON(a.out, toJSON(s))
	}
	if a.quiet || s.State != mr.Succeeded {
		return nil // the error says the rest
	}
	_, err := io.WriteString(a.out, a.summary(s))
	return writeError(err)
}

// summary is what a person reads at the end of a job that succeeded.
func (a *app) summary(s mr.Status) string {
	var b strings.Builder
	took := seconds(s.Seconds.Elapsed)
	head := fmt.Sprintf("%s done in %s", shown(orElse(s.Name, "job")), took)
	if s.Bytes.Input > 0 && s.Seconds.Elapsed > 0 {
		head += fmt.Sprintf(": %s at %s", bytesOf(s.Bytes.Input), rateOf(float64(s.Bytes.Input)/s.Seconds.Elapsed))
	}
	b.WriteString(a.painted(bold+green, head) + "\n")
	if s.Map.Cached > 0 {
		line := fmt.Sprintf("%s of %s came from cache", comma(s.Map.Cached), plural(s.Map.Tasks, "map task"))
		if s.Map.Cached == s.Map.Tasks {
			line = fmt.Sprintf("%s came from cache", allOf(s.Map.Tasks, "map task"))
		}
		b.WriteString(a.painted(cyan, line) + "\n")
	}
	b.WriteString("\n")
	row := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %s %s\n", a.painted(dim, fmt.Sprintf("%-8s", name)), text)
		}
	}
	row("input", join(bytesOf(s.Bytes.Input), records(s.Counters, "map_input_records"), readWords(s)))
	row("map", join(phaseWords(s.Map), seconds(s.Seconds.Map)))
	if s.Reduce.Tasks > 0 {
		row(phaseName(s, "reduce"), join(phaseWords(s.Reduce), mergeWords(s.Merge), seconds(s.Seconds.Reduce)))
	}
	row("output", join(plural(s.Reduce.Tasks, "part"), orElse(records(s.Counters, "reduce_output_records"), records(s.Counters, "map_output_records")), bytesOf(s.Bytes.Output)))
	b.WriteString("\n")
	fmt.Fprintf(&b, "  %s\n", shown(filepath.Join(a.relative(s.Output), "part-*")))
	for _, w := range s.Warnings {
		fmt.Fprintf(&b, "  %s %s\n", a.painted(yellow, "warning:"), shown(w))
	}
	fmt.Fprintf(&b, "\n%s\n", a.painted(dim, "next: "+a.typed("explain "+string(s.Job))))
	return b.String()
}

// typed is a command as it is to be typed to reach the same store.
func (a *app) typed(command string) string {
	for _, f := range [...]struct{ name, value string }{{"--store", a.store}, {"--addr", a.addr}, {"--auth", a.auth}} {
		if f.value != "" {
			command += " " + f.name + " " + shown(f.value)
		}
	}
	return "mrctl " + command
}

func allOf(n int, noun string) string {
	if n == 1 {
		return "its one " + noun
	}
	return "all " + plural(n, noun)
}

func phaseWords(p mr.PhaseStatus) string {
	words := []string{plural(p.Tasks, "task")}
	if p.Cached > 0 {
		words = append(words, comma(p.Cached)+" cached")
	}
	words = append(words, comma(p.Run)+" run")
	if p.Failed > 0 { // whether the task was tried again is not said: of a job that failed, one was not
		words = append(words, plural(p.Failed, "attempt")+" failed")
	}
	for _, n := range []struct {
		n    int
		what string
	}{{p.Recomputed, "recomputed"}, {p.Speculative, "speculative"}} {
		if n.n > 0 {
			words = append(words, comma(n.n)+" "+n.what)
		}
	}
	return strings.Join(words, ", ")
}

// mergeWords says what the reduce tasks found folded already, and what they kept for later.
func mergeWords(m mr.MergeStatus) string {
	var words []string
	if m.Cached > 0 {
		words = append(words, plural(m.Cached, "merge")+" from cache")
	}
	if m.Run > 0 {
		words = append(words, comma(m.Run)+" kept")
	}
	return strings.Join(words, ", ")
}

// readWords says how much of the input had to be read, where that was not all of it.
func readWords(s mr.Status) string {
	if s.Bytes.Read >= s.Bytes.Input {
		return ""
	}
	if s.Bytes.Read == 0 {
		return "none of it read again"
	}
	return bytesOf(s.Bytes.Read) + " of it read"
}

// records is the counter of the system's own group by that name, in words.
func records(cs mr.Counters, name string) string {
	for _, c := range cs {
		if c.Group == "mr" && c.Name == name {
			return plural(int(c.Value), "record")
		}
	}
	return ""
}

func join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " · ")
}

func seconds(s float64) string {
	switch {
	case s <= 0:
		return ""
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", max(1, 1000*s))
	case s < 99.95:
		return fmt.Sprintf("%.2f s", s)
	default:
		return shortDuration(secondsDuration(s))
	}
}

// relative is path as one would type it here, if it is below the current folder.
func (a *app) relative(path string) string {
	if rel, err := filepath.Rel(a.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}
