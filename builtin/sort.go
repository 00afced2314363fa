package builtin

import (
	"flag"
	"iter"
	"strconv"
	"strings"

	"github.com/mrd-io/mr"
)

const sortVersion = "1"

func sort() *mr.Definition {
	return mr.JobFunc("sort", func(fs *flag.FlagSet) func([]string) ([]mr.Option, error) {
		unique := fs.Bool("unique", false, "write equal records once")
		keyBytes := fs.String("key-bytes", "", "sort by bytes A up to, not including, B of the record, from 0; whole records break ties (`A:B`)")
		return func(args []string) ([]mr.Option, error) {
			if err := noArgs("sort", args); err != nil {
				return nil, err
			}
			opts := []mr.Option{mr.Version(sortVersion), mr.OutputLikeInput()}
			if *unique {
				opts = append(opts, mr.Combine(first))
			}
			if *keyBytes == "" {
				return append(opts, mr.Map(recordKey), mr.Pass[[]byte, mr.None]()), nil
			}
			a, b, err := byteRange(*keyBytes)
			if err != nil {
				return nil, err
			}
			return append(opts,
				mr.Map(func(_ *mr.Task, record []byte, emit mr.Emit[subkey, mr.None]) error {
					n := len(record)
					emit(mr.T2(record[min(a, n):min(b, n)], record), mr.None{})
					return nil
				}),
				mr.Reduce(func(_ *mr.Task, key subkey, n iter.Seq[mr.None], emit mr.Emit[[]byte, mr.None]) error {
					for none := range n {
						emit(key.B, none)
					}
					return nil
				})), nil
		}
	}).About("[--unique] [--key-bytes A:B]", "Sorts records by their bytes. Output: the records; of fixed:N input, without separators.")
}

// subkey is some bytes of a record, and the record.
type subkey = mr.Tuple2[[]byte, []byte]

func recordKey(_ *mr.Task, record []byte, emit mr.Emit[[]byte, mr.None]) error {
	emit(record, mr.None{})
	return nil
}

func byteRange(s string) (a, b int, err error) {
	from, to, ok := strings.Cut(s, ":")
	a, errA := strconv.Atoi(from)
	b, errB := strconv.Atoi(to)
	if !ok || errA != nil || errB != nil || a < 0 || b <= a {
		return 0, 0, mr.Errorf(mr.Usage, "sort: --key-bytes %s: give two offsets A:B with 0 <= A < B; 0:10 is the first ten bytes", s)
	}
	return a, b, nil
}
