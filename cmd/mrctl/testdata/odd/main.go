// Command odd has jobs that do what jobs should not.
package main

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	mr "github.com/mrd-io/mr"
)

func main() {
	mr.Main(
		mr.Job("unreduced", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
			emit(line, 1)
			return nil
		}), mr.Reduce(func(_ *mr.Task, line string, _ iter.Seq[int64], _ mr.Emit[string, int64]) error {
			return errors.New("no sum of " + line)
		})),
		job("picky", func(line string) error {
			switch {
			case strings.HasPrefix(line, "bad"):
				return fmt.Errorf("%q is not good", line)
			case strings.HasPrefix(line, "boom"):
				panic("cannot stand " + line)
			}
			return nil
		}),
		mr.Job("table", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, string]) error {
			table, err := os.ReadFile(os.Getenv("TABLE"))
			emit(line, strings.TrimSpace(string(table)))
			return err
		}), mr.Env("TABLE")),
		mr.Job("paths", mr.Map(func(_ *mr.Task, path string, emit mr.Emit[string, string]) error {
			b, err := os.ReadFile(path)
			emit(path, string(b))
			return err
		})),
		mr.Job("headed", mr.Positions(), mr.Map(func(t *mr.Task, line string, emit mr.Emit[string, string]) error {
			all, err := os.ReadFile(t.Path())
			head, _, _ := strings.Cut(string(all), "\n")
			emit(line, head)
			return err
		})),
		mr.Job("reduced", mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
			emit(line, 1)
			return nil
		}), mr.Reduce(func(_ *mr.Task, line string, _ iter.Seq[int64], emit mr.Emit[string, string]) error {
			table, err := os.ReadFile(os.Getenv("TABLE"))
			emit(line, strings.TrimSpace(string(table)))
			return err
		}), mr.Env("TABLE")),
		job("slow", func(string) error { time.Sleep(200 * time.Millisecond); return nil }),
		job("panics", func(line string) error { panic("no line like " + line) }),
		job("exits", func(string) error { os.Exit(7); return nil }),
		job("prints", func(line string) error { _, err := fmt.Println("seen", line); return err }),
		job("fails", func(line string) error {
			if line == "two" {
				return errors.New("two is one too many")
			}
			return nil
		}),
	)
}

func job(name string, f func(line string) error) *mr.Definition {
	return mr.Job(name, mr.Map(func(_ *mr.Task, line string, emit mr.Emit[string, int64]) error {
		emit(line, 1)
		return f(line)
	}), mr.Combine(mr.Sum[int64]))
}
