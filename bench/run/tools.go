package main

import (
	"context"
	"os/exec"
	"strings"
	"time"
)

// toolbox is what is installed: name to version line.
type toolbox map[string]string

// look finds the rivals.
func look(ctx context.Context) toolbox {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	box := toolbox{}
	for name, args := range map[string][]string{
		"sort": {"--version"}, "grep": {"--version"}, "tr": {"--version"}, "uniq": {"--version"}, "mawk": {"-W", "version"},
		"duckdb": {"--version"}, "rg": {"--version"}, "parallel": {"--version"},
	} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
		line, _, _ := strings.Cut(string(out), "\n")
		gnu := name == "sort" || name == "grep" || name == "parallel"
		if err != nil || gnu && !strings.Contains(line, "GNU") {
			continue // another program of that name
		}
		box[name] = strings.TrimSpace(line)
	}
	return box
}

// has reports whether all tools of a list, separated by blanks, are there.
func (t toolbox) has(names string) bool {
	for name := range strings.FieldsSeq(names) {
		if t[name] == "" {
			return false
		}
	}
	return true
}
