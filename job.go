package mr

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Definition is a job as declared by Job or JobFunc.
type Definition struct {
	name  string
	args  string // what stands behind the name in a usage line
	about string
	build func(fs *flag.FlagSet) func(args []string) ([]Option, error)
	plain bool // made by Job: its options are there without arguments
	// global is the flag set of a plain job whose flags are the program's own; Main sets it.
	global *flag.FlagSet
}

// Job declares a job without flags of its own. It needs a mapper (Map, MapFrom or
// MapBlock). With Combine or Reduce or both it has a reduce phase; with neither it is
// map-only, and its output is what the mapper emits, in that order.
//
// Types of keys: string, []byte, every integer and float, bool, None, tuples of these,
// and Desc of these. Types of values: the same, and types with AppendMR and DecodeMR of
// their own.
//
// Output text: strings and bytes as they are, whatever is in them; integers in decimal;
// floats at their shortest, as Go prints them (0.1, 1e+06); components of a tuple with a TAB
// between them; None as nothing. A method String is not asked, and AppendText only of a
// type that also has AppendMR and DecodeMR. See RawOutput as well.
func Job(name string, opts ...Option) *Definition {
	return &Definition{name: name, plain: true, build: func(*flag.FlagSet) func([]string) ([]Option, error) {
		return func([]string) ([]Option, error) { return opts, nil }
	}}
}

// JobFunc declares a job with flags. f declares them on fs and returns a function that
// is called with the arguments that are not flags once the flags are set, and returns
// the options. f may be called several times, and what it returns without arguments too, to
// compare jobs; what the options hold must not be shared between its calls. Whether a flag was given or left at its default cannot be told:
// fs.Visit visits all. A default may be another each time, as today's date, if the flag is of one of package flag's scalar
// types: all tasks of a job get the one that was found when it was submitted.
func JobFunc(name string, f func(fs *flag.FlagSet) func(args []string) ([]Option, error)) *Definition {
	if f == nil {
		f = func(*flag.FlagSet) func([]string) ([]Option, error) { return nil }
	}
	return &Definition{name: name, build: f}
}

// About describes the job for --help: args as they stand behind its name in a usage
// line ("PATTERN [--fixed]"), and text. It returns d.
func (d *Definition) About(args, text string) *Definition {
	d.args, d.about = args, text
	return d
}

// Name returns the job's name.
func (d *Definition) Name() string { return d.name }

// Flags returns a new flag set that declares the job's flags.
func (d *Definition) Flags() *flag.FlagSet {
	if d.global != nil {
		return d.global
	}
	fs := d.newFlagSet()
	d.build(fs)
	return fs
}

func (d *Definition) newFlagSet() *flag.FlagSet {
	fs := flag.NewFlagSet(d.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	return fs
}

// Help returns the job's usage line, description and flags.
func (d *Definition) Help() string {
	var b strings.Builder
	b.WriteString(d.name)
	if d.args != "" {
		b.WriteString(" " + d.args)
	}
	b.WriteString("\n")
	if d.about != "" {
		b.WriteString("    " + strings.ReplaceAll(d.about, "\n", "\n    ") + "\n")
	}
	d.Flags().VisitAll(func(f *flag.Flag) {
		kind, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, "    --%s", f.Name)
		if kind != "" {
			b.WriteString(" " + kind)
		}
		fmt.Fprintf(&b, "  %s", usage)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			fmt.Fprintf(&b, " (default %s)", f.DefValue)
		}
		b.WriteString("\n")
	})
	return b.String()
}

// Configure gives the job its arguments. Flags may stand anywhere among them, up to a
// "--". Wrong arguments, and a job whose parts don't fit, are Usage errors.
//
// Where some flags are ReduceOnly, map and reduce tasks have configurations of their
// own, and the job is built once for each. (The program's own flags exist only once:
// there it is the caller who leaves these flags out for map tasks.)
func (d *Definition) Configure(args []string) (*Program, error) {
	full, params, err := d.assemble(args, nil)
	if err != nil {
		return nil, err
	}
	p := &Program{mapStages: full, reduceStages: full}
	if len(full.reduceOnly) > 0 {
		if err := d.markReduceOnly(params, full.reduceOnly); err != nil {
			return nil, err
		}
		if d.global == nil {
			if p.mapStages, _, err = d.assemble(args, full.reduceOnly); err != nil {
				return nil, err
			}
			// Built last, so that state which the builds share is the reducer's.
			if p.reduceStages, _, err = d.assemble(args, nil); err != nil {
				return nil, err
			}
		}
	}
	if err := p.check(); err != nil {
		return nil, Errorf(Usage, "job %s: %w", d.name, err)
	}
	p.traits = p.describe(d.name, params)
	return p, nil
}

func collectOptions(opts []Option) *stages {
	s := &stages{}
	for _, o := range opts {
		if o == nil {
			s.wrong = "one of its options is nil"
		} else {
			o(s)
		}
	}
	return s
}

// assemble parses args, without the flags of those names, and collects the options.
func (d *Definition) assemble(args, without []string) (*stages, []Param, error) {
	fs := d.global
	if fs == nil {
		fs = d.newFlagSet()
	}
	finish := d.build(fs)
	given, rest, err := splitArgs(fs, args)
	if err == nil {
		flags := []string{}
		for _, g := range given {
			if !slices.Contains(without, g.name) {
				flags = append(flags, "-"+g.name+"="+g.value)
			}
		}
		err = fs.Parse(append(append(flags, "--"), rest...))
	}
	if err == nil {
		err = setAll(fs)
	}
	if err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, nil, Errorf(Usage, "%s", d.Help())
		}
		return nil, nil, Errorf(Usage, "job %s: %w\n%s", d.name, err, strings.TrimSuffix(d.Help(), "\n"))
	}
	if finish == nil {
		return nil, nil, Errorf(Usage, "job %s: the function of its flags, or what that returned, is nil", d.name)
	}
	opts, err := finish(rest)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok {
			return nil, nil, e
		}
		return nil, nil, Errorf(Usage, "job %s: %w", d.name, err)
	}
	return collectOptions(opts), canonicalParams(fs, given, rest), nil
}

// setAll makes flags that were given and flags that were left at the same value look
// alike: Params don't tell the two apart, so the job's code must not either.
func setAll(fs *flag.FlagSet) (err error) {
	fs.VisitAll(func(f *flag.Flag) {
		if standardFlag(f.Value) && err == nil {
			err = fs.Set(f.Name, f.Value.String())
		}
	})
	return err
}

// setting is a flag as given on the command line.
type setting struct{ name, value string }

// splitArgs tells flags from other arguments, as package flag would, but wherever they
// stand.
func splitArgs(fs *flag.FlagSet, args []string) (flags []setting, rest []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return flags, append(rest, args...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		f := fs.Lookup(name)
		if f == nil {
			if name == "h" || name == "help" {
				return nil, nil, flag.ErrHelp
			}
			return nil, nil, fmt.Errorf("flag %s is not known", arg)
		}
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); !hasValue && ok && b.IsBoolFlag() {
			value, hasValue = "true", true
		}
		if !hasValue {
			if len(args) == 0 {
				return nil, nil, fmt.Errorf("flag --%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		flags = append(flags, setting{name, value})
	}
	return flags, rest, nil
}

// canonicalParams lists all that the job's code can see of its arguments, in a form
// from which they can be made again. A flag of a type of package flag is listed with
// its value. Of another type nobody knows whether String tells everything, nor what else
// its Set looks at or changes: where such a flag was given, each flag that was given
// is listed, each time, in that order and with the text it was given.
func canonicalParams(fs *flag.FlagSet, given []setting, rest []string) []Param {
	inOrder := slices.ContainsFunc(given, func(g setting) bool { return !standardFlag(fs.Lookup(g.name).Value) })
	var ps []Param
	fs.VisitAll(func(f *flag.Flag) {
		isGiven := func(g setting) bool { return g.name == f.Name }
		if standardFlag(f.Value) && !(inOrder && slices.ContainsFunc(given, isGiven)) {
			ps = append(ps, Param{Name: "--" + f.Name, Value: f.Value.String()})
		}
	})
	if inOrder {
		for _, g := range given {
			ps = append(ps, Param{Name: "--" + g.name, Value: g.value})
		}
	}
	for i, a := range rest {
		ps = append(ps, Param{Name: "arg" + strconv.Itoa(i), Value: a})
	}
	return ps
}

// standardFlag reports whether v is of one of package flag's own scalar types. Its
// types for functions and for TextVar are not: they hold an author's code.
func standardFlag(v flag.Value) bool {
	t := reflect.Indirect(reflect.ValueOf(v)).Type()
	return t.PkgPath() == "flag" && t.Kind() != reflect.Func && t.Kind() != reflect.Struct
}

func (d *Definition) markReduceOnly(ps []Param, names []string) error {
	flags := d.Flags()
	for _, name := range names {
		if flags.Lookup(name) == nil {
			return Errorf(Usage, "job %s: ReduceOnly(%q): the job has no flag of that name", d.name, name)
		}
		for i := range ps {
			if ps[i].Name == "--"+name {
				ps[i].ReduceOnly = true
			}
		}
	}
	return nil
}
