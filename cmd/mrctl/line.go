package main

import (
	"flag"
	"strings"

	"github.com/spf13/pflag"

	mr "github.com/mrd-io/mr"
)

// line is what was typed after run or submit, told apart. mrctl's own flags are set as they are met.
//
//	JOB      the first bare word
//	inputs   the values of --input, and the bare words that follow one of them once JOB is known, so
//	         that a glob which the shell expanded needs no quotes
//	words    the other bare words: the job's arguments
//	flags    a built-in's own flags, as --name=value, in the order typed
//	rest     everything after --, which is the job's alone
type line struct {
	job    string
	inputs []input
	words  []string
	flags  []string
	rest   []string
	help   bool
}

// input is one PATTERN; a bare one was not the value of a flag but followed one.
type input struct {
	pattern string
	bare    bool
}

// parseLine tells args apart.
func parseLine(command string, args []string, own *pflag.FlagSet, jobs builtins) (line, error) {
	p := &lineParser{command: command, own: own, jobs: jobs, args: args}
	err := p.parse()
	return p.line, err
}

type lineParser struct {
	line
	command string
	own     *pflag.FlagSet
	jobs    builtins
	args    []string // not looked at yet
	after   bool     // the word before belongs to an --input, so this one may too
}

func (p *lineParser) parse() error {
	for len(p.args) > 0 {
		arg := p.args[0]
		p.args = p.args[1:]
		switch {
		case arg == "--":
			p.rest, p.args = p.args, nil
		case len(arg) > 1 && arg[0] == '-':
			if err := p.flag(arg); err != nil {
				return err
			}
		case p.job == "":
			p.job = arg
		case p.after && arg == "":
			return errNoInput
		case p.after:
			p.inputs = append(p.inputs, input{pattern: arg, bare: true})
		default:
			p.words = append(p.words, arg)
		}
	}
	return nil
}

// flag handles one flag, arg, and takes its value from the words that follow if it needs one.
func (p *lineParser) flag(arg string) error {
	name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	p.after = false
	if name == "help" || arg == "-h" {
		p.help = true
		return nil
	}
	if f := p.ownFlag(arg, name); f != nil {
		return p.setOwn(f, value, hasValue)
	}
	f := p.jobs.flag(p.job, name)
	if f == nil {
		return p.unknown(arg, name)
	}
	if isBool(f) {
		p.flags = append(p.flags, "--"+strings.TrimLeft(arg, "-"))
		return nil
	}
	value, err := p.value(name, value, hasValue)
	p.flags = append(p.flags, "--"+name+"="+value)
	return err
}

func (p *lineParser) ownFlag(arg, name string) *pflag.Flag {
	switch {
	case strings.HasPrefix(arg, "--"):
		return p.own.Lookup(name)
	case len(name) == 1:
		return p.own.ShorthandLookup(name)
	default:
		return nil
	}
}

func (p *lineParser) setOwn(f *pflag.Flag, value string, hasValue bool) error {
	if !hasValue && f.NoOptDefVal != "" {
		return p.set(f, f.NoOptDefVal)
	}
	value, err := p.value(f.Name, value, hasValue)
	if err != nil {
		return err
	}
	if f.Name == "input" {
		if value == "" {
			return errNoInput
		}
		p.inputs = append(p.inputs, input{pattern: value})
		p.after = p.job != ""
		return nil
	}
	return p.set(f, value)
}

// errNoInput is about what a shell makes of a variable that is not set: the current folder would be read.
var errNoInput = mr.Errorf(mr.Usage, "--input needs a file, a folder or a glob, and got an empty word")

func (p *lineParser) set(f *pflag.Flag, value string) error {
	if err := p.own.Set(f.Name, value); err != nil {
		_, why, _ := strings.Cut(err.Error(), " flag: ")
		return mr.Errorf(mr.Usage, "--%s %q: %s", f.Name, value, orElse(why, err.Error()))
	}
	return nil
}

// value returns the flag's value, typed with = or as the next word.
func (p *lineParser) value(name, value string, hasValue bool) (string, error) {
	if hasValue {
		return value, nil
	}
	if len(p.args) == 0 {
		return "", mr.Errorf(mr.Usage, "--%s needs a value, and the line ends after it", name)
	}
	next := p.args[0]
	if other, ok := strings.CutPrefix(next, "--"); ok {
		other, _, _ = strings.Cut(other, "=")
		if other == "" || p.own.Lookup(other) != nil || p.jobs.flag(p.job, other) != nil {
			return "", mr.Errorf(mr.Usage, "--%s needs a value, and %s follows it; a value that looks like that is typed --%s=%s", name, next, name, next)
		}
	}
	p.args = p.args[1:]
	return next, nil
}

func (p *lineParser) unknown(arg, name string) error {
	typed, _, _ := strings.Cut(arg, "=")
	names := flagNames(p.own)
	if p.job != "" && p.jobs.isCode(p.job) {
		return mr.Errorf(mr.Usage, "mrctl has no flag %s%s; the flags of %s itself follow -- at the end of the line", typed, dashed(didYouMean(name, names)), p.job)
	}
	return unknownFlag(p.command, typed, name, append(names, p.jobs.flagNames(p.job)...))
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}
