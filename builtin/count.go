package builtin

import (
	"bytes"
	"flag"

	"github.com/mrd-io/mr"
)

const countVersion = "1"

func count() *mr.Definition {
	return mr.JobFunc("count", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		field := fs.Int("field", 0, "count by the `N`-th field, from 1; a record with fewer counts under the empty field")
		sep := fs.String("sep", "", "fields end at `S`; without it, at any run of ASCII white space")
		return func(args []string) ([]mr.Option, error) {
			if err := noArgs("count", args); err != nil {
				return nil, err
			}
			if *field < 0 {
				return nil, mr.Errorf(mr.Usage, "count: --field %d: fields are numbered from 1", *field)
			}
			if *sep != "" && *field == 0 {
				return nil, mr.Errorf(mr.Usage, "count: --sep needs --field")
			}
			n, s := *field, []byte(*sep)
			return []mr.Option{
				mr.Version(countVersion),
				mr.Map(func(t *mr.Task, record []byte, emit mr.Emit[[]byte, int64]) error {
					if n > 0 {
						var ok bool
						if record, ok = nthField(record, n, s); !ok {
							t.Count("count", "records_without_field", 1)
						}
					}
					emit(record, 1)
					return nil
				}),
				mr.Combine(mr.Sum[int64]),
			}, nil
		}
	}).About("[--field N] [--sep S]", "Counts records that are equal, or that have the same N-th field. Output: field TAB n.\n"+
		"Records with too few fields count under the empty field, and in the counter records_without_field.")
}

// nthField returns the n-th field of record, counting from 1. An empty sep means runs
// of white space, of which those at the ends don't count.
func nthField(record []byte, n int, sep []byte) (field []byte, ok bool) {
	if len(sep) == 0 {
		return nthWord(record, n)
	}
	for ; n > 1; n-- {
		i := bytes.Index(record, sep)
		if i < 0 {
			return nil, false
		}
		record = record[i+len(sep):]
	}
	if i := bytes.Index(record, sep); i >= 0 {
		record = record[:i]
	}
	return record, true
}

func nthWord(record []byte, n int) (word []byte, ok bool) {
	for i := 0; i < len(record); {
		for i < len(record) && isSpace(record[i]) {
			i++
		}
		start := i
		for i < len(record) && !isSpace(record[i]) {
			i++
		}
		if n--; n == 0 && i > start {
			return record[start:i], true
		}
	}
	return nil, false
}

func isSpace(c byte) bool { return c == ' ' || c-'\t' < 5 }
