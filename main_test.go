package mr

import (
	"bytes"
	"flag"
	"strings"
	"testing"
)

func nothing(*Task, string, Emit[string, int]) error { return nil }

// TestMapStage holds when jobs share map outputs: only if they have the very same Map
// and Combine options, and arguments cannot have changed that unseen.
func TestMapStage(t *testing.T) {
	shared := []Option{Map(nothing), Combine(Sum[int])}
	other := Map(nothing) // the same function, but who knows
	jobs := []*Definition{
		JobFunc("strict", func(fs *flag.FlagSet) func([]string) ([]Option, error) {
			return func(args []string) ([]Option, error) {
				if len(args) != 1 {
					return nil, Errorf(Usage, "one argument")
				}
				return shared, nil
			}
		}),
		Job("first", shared...),
		JobFunc("flags", func(fs *flag.FlagSet) func([]string) ([]Option, error) {
			alt := fs.Bool("alt", false, "")
			return func([]string) ([]Option, error) {
				if *alt {
					return append([]Option{other}, shared[1]), nil
				}
				return shared, nil
			}
		}),
		Job("uncombined", shared[0]),
		JobFunc("fresh", func(fs *flag.FlagSet) func([]string) ([]Option, error) {
			return func([]string) ([]Option, error) { return []Option{Map(nothing), shared[1]}, nil }
		}),
		Job("second", append([]Option{Version("2")}, shared...)...),
		JobFunc("trusting", func(fs *flag.FlagSet) func([]string) ([]Option, error) {
			return func(args []string) ([]Option, error) { return []Option{Map(nothing), shared[1], Version(args[0])}, nil }
		}),
	}
	for _, c := range []struct {
		job  string
		args []string
		want string
	}{
		{"first", nil, "first"},
		{"second", nil, "first"},
		{"flags", nil, "first"},
		{"flags", []string{"--alt"}, "flags()"},
		{"uncombined", nil, "uncombined"},
		{"fresh", nil, "fresh()"},
		{"strict", []string{"x"}, "first"},
		{"trusting", []string{"x"}, "trusting()"},
	} {
		traits, err := (&child{jobs: jobs}).configure(c.job, c.args)
		if err != nil || traits.MapStage != c.want {
			t.Errorf("%s %v: map stage %q, %v; want %q", c.job, c.args, traits.MapStage, err, c.want)
		}
	}
	if _, err := (&child{jobs: jobs}).configure("strict", nil); KindOf(err) != Usage || err.Error() != "one argument" {
		t.Errorf("got %v", err)
	}
}

// Of two jobs of one name the first would be run, whichever the author thought of.
func TestJobsHaveNamesOfTheirOwn(t *testing.T) {
	jobs := []*Definition{Job("a", Map(nothing)), Job("b", Map(nothing)), Job("a", Map(nothing), Combine(Max[int]))}
	if _, err := (&child{jobs: jobs}).configure("a", nil); KindOf(err) != Usage || !strings.Contains(err.Error(), `two jobs called "a"`) {
		t.Errorf("got %v", err)
	}
	if traits, err := (&child{jobs: jobs}).configure("b", nil); err != nil || traits.Job != "b" {
		t.Errorf("got %v, %v", traits.Job, err)
	}
}

func TestStartedByHand(t *testing.T) {
	var b bytes.Buffer
	describeJobs(&b, []*Definition{
		JobFunc("alpha", func(fs *flag.FlagSet) func([]string) ([]Option, error) {
			fs.Int("size", 7, "how `MANY`")
			return nil
		}).About("PATTERN", "First.\nReally."),
		JobFunc("beta", func(fs *flag.FlagSet) func([]string) ([]Option, error) { return nil }),
	})
	for _, want := range []string{"mrctl run ./", " --job alpha ", "alpha PATTERN\n    First.\n    Really.\n    --size MANY  how MANY (default 7)\n", "\nbeta\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
}

// list is a flag that can be given more than once, and whose String says nothing.
type list []string

func (l *list) String() string     { return "" }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// TestParamsTellAll: two ways to call a job that its code can tell apart have different
// parameters, and the others have the same.
func TestParamsTellAll(t *testing.T) {
	job := JobFunc("j", func(fs *flag.FlagSet) func([]string) ([]Option, error) {
		fs.Int("n", 1, "")
		fs.Var(new(list), "also", "")
		fs.Func("call", "", func(string) error { return nil })
		return func([]string) ([]Option, error) {
			given := ""
			fs.Visit(func(f *flag.Flag) { given += f.Name })
			return []Option{Map(nothing), Version(given)}, nil
		}
	})
	params := func(line string) string {
		p, err := job.Configure(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, x := range p.Traits().Params {
			b.WriteString(x.Name + "=" + x.Value + " ")
		}
		if !strings.HasSuffix(p.Traits().Version, "n") {
			t.Errorf("%q: the code sees that --n was not given", line)
		}
		return b.String()
	}
	for line, want := range map[string]string{
		"":                          "--n=1 ",
		"--n 01":                    "--n=1 ",
		"-n=2 x":                    "--n=2 arg0=x ",
		"--also b --also a":         "--n=1 --also=b --also=a ",
		"--call x --also c --n=0x1": "--call=x --also=c --n=0x1 ", // a Set may look at other flags
		"--also c --n 1 --call x":   "--also=c --n=1 --call=x ",
		"a -- --n":                  "--n=1 arg0=a arg1=--n ",
	} {
		if got := params(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// A program without a job is told so, and not to choose one of several.
func TestNoJob(t *testing.T) {
	for _, name := range []string{"", "count"} {
		if _, err := findJob(nil, name); KindOf(err) != Usage || !strings.Contains(err.Error(), "has no job:") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A program that reads its flags itself may be given what they are already.
func TestHas(t *testing.T) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.Int("n", 3, "")
	for args, want := range map[string]bool{"": true, "--n=3": true, "--n=4": false, "--n=3 word": false, "--m=3": false} {
		if got := has(fs, strings.Fields(args)); got != want {
			t.Errorf("%q: %v", args, got)
		}
	}
}
