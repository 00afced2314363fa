package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"

	mr "github.com/mrd-io/mr"
)

// builtins knows what JOB may stand for: the jobs in the box, and which words name code instead.
type builtins struct {
	jobs []*mr.Definition
	dir  string // what a relative path is relative to
}

func (b builtins) find(name string) (*mr.Definition, bool) {
	for _, j := range b.jobs {
		if j.Name() == name {
			return j, true
		}
	}
	return nil, false
}

// flag finds a flag of the built-in job, or of any built-in while the job is not known, or nil.
func (b builtins) flag(job, name string) *flag.Flag {
	for _, j := range b.jobs {
		if f := j.Flags().Lookup(name); f != nil && b.mayBe(job, j.Name()) {
			return f
		}
	}
	return nil
}

func (b builtins) flagNames(job string) []string {
	var names []string
	for _, j := range b.jobs {
		if b.mayBe(job, j.Name()) {
			j.Flags().VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		}
	}
	return names
}

// mayBe reports whether what was typed as JOB, possibly nothing yet or mistyped, is to be read as name.
func (b builtins) mayBe(typed, name string) bool {
	if _, ok := b.find(typed); ok {
		return typed == name
	}
	return typed == "" || !b.isCode(typed)
}

// isCode reports whether JOB names an author's code: a path, or a file in the current folder.
func (b builtins) isCode(job string) bool {
	if _, ok := b.find(job); ok {
		return false
	}
	if strings.Contains(job, "/") || job == "." || job == ".." {
		return true
	}
	info, err := os.Stat(b.path(job))
	return err == nil && info.Mode().IsRegular()
}

func (b builtins) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.dir, name)
}

// arguments checks l against the built-in that it names and returns the job's arguments: its flags, then
// its words. A word that an --input took before may turn out to be one of them.
func (b builtins) arguments(j *mr.Definition, l *line) ([]string, error) {
	flags := j.Flags()
	var args, words []string
	for _, f := range l.flags {
		name, _, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
		if flags.Lookup(name) == nil {
			return nil, mr.Errorf(mr.Usage, "%s has no flag --%s%s; 'mrctl run --help' lists the built-in jobs with their flags", j.Name(), name, dashed(didYouMean(name, b.flagNames(j.Name()))))
		}
		args = append(args, f)
	}
	words = append(words, l.words...)
	for i := 0; i < len(l.rest); i++ {
		word := l.rest[i]
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		f := flags.Lookup(name)
		if !strings.HasPrefix(word, "-") || f == nil {
			words = append(words, word)
			continue
		}
		args = append(args, word)
		if !hasValue && !isBool(f) && i+1 < len(l.rest) {
			i++
			args = append(args, l.rest[i])
		}
	}
	args = append(args, "--")
	late, err := b.late(j, append(args, words...), l)
	if err != nil {
		join := "; "
		if strings.Contains(err.Error(), "\n") { // it ends with the flags that there are
			join = "\n"
		}
		return nil, mr.Errorf(mr.Usage, "%w%s'mrctl run --help' shows how to call %s, and files to read follow --input", err, join, j.Name())
	}
	words = append(words, late...)
	if len(words) == 0 {
		args = args[:len(args)-1]
	}
	return append(args, words...), nil
}

// late finds words of the job among those that followed an --input, when the job wants more words than it
// has: in 'grep --input logs ERROR' the pattern came late. It takes them away from the inputs. A word
// that is the name of a file stays an input, whatever the job says.
func (b builtins) late(j *mr.Definition, args []string, l *line) ([]string, error) {
	_, first := j.Configure(args)
	err := first
	var late []string
	for err != nil {
		last := len(l.inputs) - len(late) - 1
		if last < 0 || !l.inputs[last].bare || exists(b.path(l.inputs[last].pattern)) {
			return nil, first
		}
		late = append([]string{l.inputs[last].pattern}, late...)
		_, err = j.Configure(append(args[:len(args):len(args)], late...))
	}
	l.inputs = l.inputs[:len(l.inputs)-len(late)]
	return late, nil
}
