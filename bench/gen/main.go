// Gen makes the benchmarks' inputs; see package corpus.
//
//	go run ./bench/gen text --size 1GB --seed 1 OUT
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mrd-io/mr/bench/corpus"
	"github.com/mrd-io/mr/internal/size"
)

const usage = `usage: gen KIND [FLAGS] OUT

KIND is text, sort, skewed, logs or tree. OUT is a file, - for stdout; for tree a folder.

  --size SIZE      bytes to write (default 1GB); not for tree
  --seed N         another N, another output (default 1)
  --profile P      words of text and tree: mixed or go (default mixed)
  --files N        files of a tree (default 50000)
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return fmt.Errorf("which kind?\n%s", strings.TrimSuffix(usage, "\n"))
	}
	fs := flag.NewFlagSet("gen", flag.ContinueOnError)
	fs.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	bytes := int64(1e9)
	fs.Var(sizeFlag{size.Value{N: &bytes}}, "size", "")
	seed := fs.Uint64("seed", 1, "")
	profile := fs.String("profile", string(corpus.Mixed), "")
	files := fs.Int("files", 50000, "")
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return fmt.Errorf("give one OUT, after the flags\n%s", strings.TrimSuffix(usage, "\n"))
	}
	return generate(args[0], fs.Arg(0), corpus.Profile(*profile), *seed, bytes, *files)
}

func generate(kind, out string, p corpus.Profile, seed uint64, bytes int64, files int) (err error) {
	var make func(w io.Writer) error
	switch kind {
	case "text":
		make = func(w io.Writer) error { return corpus.Text(w, p, seed, bytes) }
	case "sort", "skewed":
		make = func(w io.Writer) error { return corpus.Records(w, kind == "skewed", seed, bytes) }
	case "logs":
		make = func(w io.Writer) error { return corpus.Logs(w, seed, bytes) }
	case "tree":
		n, err := corpus.Tree(out, p, seed, files)
		if err == nil {
			fmt.Fprintf(os.Stderr, "%d files, %d bytes\n", files, n)
		}
		return err
	default:
		return fmt.Errorf("kind %q is not known\n%s", kind, usage)
	}
	if out == "-" {
		return make(os.Stdout)
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(make(f), f.Close())
}

// sizeFlag drops the method that only pflag's values have.
type sizeFlag struct{ size.Value }
