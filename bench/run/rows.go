package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/mrd-io/mr/bench/corpus"
)

// row is a line of the table.
type row struct {
	key   string
	work  func(l *lab) string
	aim   string
	input func(s settings) int64 // bytes of the input that it makes
	temp  func(s settings) int64 // bytes on disk besides, at most
	run   func(ctx context.Context, l *lab) (finding, error)
}

// finding is what a row found out.
type finding struct {
	bytes    int64  // of input, for speeds; 0 if they say nothing
	ours     string // in place of the outcome's figures, where these are not times of equal runs
	outcomes []outcome
	ratios   []string
	reached  verdict
}

// verdict says whether an aim is reached.
type verdict string

const (
	yes     verdict = "yes"
	no      verdict = "no"
	unknown verdict = "–" // nobody to compare with, or no aim
)

// and adds a condition.
func (v verdict) and(ok bool) verdict {
	if v == no || !ok {
		return no
	}
	return yes
}

// against adds the ratio of ours, the first outcome, to the rival of that name, which ought to be at
// least so many times as slow as ours. An aim of 0 is none.
func (f *finding) against(name string, aim float64) {
	i := slices.IndexFunc(f.outcomes, func(o outcome) bool { return o.name == name })
	if i < 0 || len(f.outcomes[i].series) == 0 {
		if aim > 0 && f.reached != no {
			f.reached = unknown
		}
		return
	}
	ratio := f.outcomes[i].series.seconds() / f.outcomes[0].series.seconds()
	f.ratios = append(f.ratios, fmt.Sprintf("%.2f × %s", ratio, name))
	if aim > 0 && f.reached != unknown {
		f.reached = f.reached.and(ratio >= aim)
	}
}

func textRow(key, aim string, work func(l *lab) string, run func(ctx context.Context, l *lab) (finding, error)) row {
	return row{key: key, work: work, aim: aim, run: run,
		input: func(s settings) int64 { return s.size }, temp: func(s settings) int64 { return 3 * s.size }}
}

func treeRow(key, aim string, work func(l *lab) string, run func(ctx context.Context, l *lab) (finding, error)) row {
	return row{key: key, work: work, aim: aim, run: run,
		input: func(s settings) int64 { return int64(s.files) * 13 << 10 }, temp: func(s settings) int64 { return int64(s.files) * 20 << 10 }}
}

func allRows() []row {
	return []row{
		textRow("wordcount", "≥ 0.85 × ceiling; ≥ 3 × DuckDB; ≥ 12 × mawk",
			func(l *lab) string { return "wordcount, " + sizeText(l.size) + " text, cold, everything durable" }, wordcount),
		textRow("author", "≥ 0.75 × ceiling",
			func(l *lab) string { return "the same through an author's Go package" }, author),
		sortRow("sort", "≥ 3 × GNU sort --parallel=2", false, 3),
		sortRow("sort-skewed", "", true, 0),
		{key: "sort-big", aim: "≥ 2 × GNU sort; RSS ≤ 1.3 × memory", run: sortBig,
			work: func(l *lab) string {
				return fmt.Sprintf("sort, %s, %s of memory for both", sizeText(l.big), bytesText(l.memory))
			},
			input: func(s settings) int64 { return s.big }, temp: func(s settings) int64 { return 4 * s.big }},
		treeRow("tree", "≥ 1.5 × the best shell pipeline",
			func(l *lab) string { return fmt.Sprintf("wordcount, %d small files", l.files) }, treeCount),
		treeRow("index", "≥ 150 MB/s",
			func(l *lab) string { return fmt.Sprintf("index, %d small files", l.files) }, treeIndex),
		textRow("grep", "≥ 0.7 × GNU grep -c",
			func(l *lab) string { return "grep, literal, " + sizeText(l.size) + ", warm" }, grepLiteral),
		textRow("grep-regex", "≥ 0.7 × GNU grep -c",
			func(l *lab) string { return "grep, regex with a literal in it, " + sizeText(l.size) + ", warm" }, grepRegex),
		textRow("grep-either", "",
			func(l *lab) string { return "grep, regex of two words, " + sizeText(l.size) + ", warm" }, grepEither),
		textRow("grep-any", "",
			func(l *lab) string { return "grep, regex without a literal that helps, " + sizeText(l.size) + ", warm" }, grepAny),
		textRow("rerun", "≤ 0.10 s, process start included",
			func(l *lab) string { return "rerun, " + sizeText(l.size) + " in one file, nothing changed" }, rerunText),
		treeRow("rerun-tree", "≤ 0.5 s",
			func(l *lab) string { return fmt.Sprintf("rerun, %d files, nothing changed", l.files) }, rerunTree),
		textRow("append", "≤ 4 % of the cold time",
			func(l *lab) string { return "1 % appended to " + sizeText(l.size) }, appended),
		textRow("reducers", "0 maps; time = reduce alone",
			func(l *lab) string { return "R changed, " + sizeText(l.size) }, reducersChanged),
		textRow("reducer", "0 maps; time = reduce alone",
			func(l *lab) string { return "reducer of an author's package edited, " + sizeText(l.size) }, reducerEdited),
		{key: "tasks", aim: "≥ 8,000 tasks/s", run: nothingTasks,
			work:  func(l *lab) string { return fmt.Sprintf("%d tasks that do nothing, durable", l.tasks) },
			input: func(s settings) int64 { return int64(s.tasks) << 12 }, temp: func(s settings) int64 { return int64(s.tasks) << 14 }},
		{key: "growth", aim: "time per GB within 15 %", run: growth,
			work: func(l *lab) string {
				var sizes []string
				for _, n := range l.growth {
					sizes = append(sizes, sizeText(n))
				}
				return "growth of wordcount: " + strings.Join(sizes, ", ")
			},
			input: func(s settings) int64 { return slices.Max(s.growth) }, temp: func(s settings) int64 { return 2 * slices.Max(s.growth) }},
	}
}

func sortRow(key, aim string, skewed bool, times float64) row {
	kind := "uniform"
	if skewed {
		kind = "half of the keys on four prefixes"
	}
	r := textRow(key, aim, func(l *lab) string {
		return fmt.Sprintf("sort, %s of 100-byte records, %s, memory enough", sizeText(l.size), kind)
	},
		func(ctx context.Context, l *lab) (finding, error) {
			input, err := l.records(skewed, l.size)
			if err != nil {
				return finding{}, err
			}
			defer l.drop(input)
			return l.sortContest(ctx, input, l.size, l.rounds, l.gnuSort(input, max(l.size*3, ram()/4)), times)
		})
	r.temp = func(s settings) int64 { return 4 * s.size }
	return r
}

func (l *lab) sortContest(ctx context.Context, input string, size int64, rounds int, rival contestant, times float64, flags ...string) (finding, error) {
	if err := warm(input); err != nil {
		return finding{}, err
	}
	ours := contestant{name: "mr", command: l.job(input, append([]string{"sort"}, flags...)...), answer: l.partBytes, check: cold}
	f := finding{bytes: size, reached: unknown}
	if times > 0 {
		f.reached = ""
	}
	var err error
	if f.outcomes, err = l.contest(ctx, rounds, ours, rival); err != nil {
		return f, err
	}
	f.against("GNU sort", times)
	return f, nil
}

func sortBig(ctx context.Context, l *lab) (finding, error) {
	input, err := l.records(false, l.big)
	if err != nil {
		return finding{}, err
	}
	defer l.drop(input)
	f, err := l.sortContest(ctx, input, l.big, l.bigRounds, l.gnuSort(input, l.memory), 2, "--memory", fmt.Sprint(l.memory))
	if err == nil {
		f.reached = f.reached.and(float64(f.outcomes[0].series.peak()) <= 1.3*float64(l.memory))
	}
	return f, err
}

func wordcount(ctx context.Context, l *lab) (finding, error) {
	f := finding{bytes: l.size}
	input, err := l.text(l.size)
	if err != nil {
		return f, err
	}
	rivals, err := l.wordRivals(input)
	if err != nil {
		return f, err
	}
	if err := warm(input); err != nil {
		return f, err
	}
	ours := contestant{name: "mr", command: l.job(input, "wordcount"), answer: l.partLines, check: cold}
	if f.outcomes, err = l.contest(ctx, l.rounds, append([]contestant{ours, l.ceilingCount(input)}, rivals...)...); err != nil {
		return f, err
	}
	f.against("ceiling", 0.85)
	f.against("DuckDB", 3)
	f.against("mawk", 12)
	f.against("tr, sort, uniq", 0)
	f.against("parallel, mawk", 0)
	return f, nil
}

func author(ctx context.Context, l *lab) (finding, error) {
	f := finding{bytes: l.size}
	input, err := l.text(l.size)
	if err != nil {
		return f, err
	}
	if err := warm(input); err != nil {
		return f, err
	}
	ours := contestant{name: "mr", command: l.job(input, "./bench/jobs/wordcount"), answer: l.partLines, check: cold}
	if f.outcomes, err = l.contest(ctx, l.rounds, ours, l.ceilingCount(input)); err != nil {
		return f, err
	}
	f.against("ceiling", 0.75)
	return f, nil
}

func treeCount(ctx context.Context, l *lab) (finding, error) {
	dir, bytes, err := l.tree()
	f := finding{bytes: bytes}
	if err != nil {
		return f, err
	}
	rivals, err := l.treeRivals(dir)
	if err != nil {
		return f, err
	}
	ours := contestant{name: "mr", command: l.job(dir, "wordcount"), answer: l.partLines, check: cold}
	if f.outcomes, err = l.contest(ctx, l.rounds, append([]contestant{ours}, rivals...)...); err != nil {
		return f, err
	}
	f.reached = unknown
	if rival, err := best(f.outcomes[1:]...); err == nil {
		f.reached = ""
		f.against(rival.name, 1.5)
	}
	return f, nil
}

func treeIndex(ctx context.Context, l *lab) (finding, error) {
	dir, bytes, err := l.tree()
	f := finding{bytes: bytes}
	if err != nil {
		return f, err
	}
	ours := contestant{name: "mr", command: l.job(dir, "index"), answer: l.partLines, check: cold}
	if f.outcomes, err = l.contest(ctx, l.rounds, ours); err != nil {
		return f, err
	}
	f.reached = f.reached.and(float64(bytes)/1e6/f.outcomes[0].series.seconds() >= 150)
	return f, nil
}

// needleRank is the rank of the word that is looked for: one line in some hundreds has it.
const needleRank = 300

func grepLiteral(ctx context.Context, l *lab) (finding, error) {
	word, err := corpus.Word(l.profile, needleRank)
	if err != nil {
		return finding{}, err
	}
	return l.grep(ctx, word, true, 0.7)
}

func grepRegex(ctx context.Context, l *lab) (finding, error) {
	word, err := corpus.Word(l.profile, needleRank)
	if err != nil {
		return finding{}, err
	}
	return l.grep(ctx, "[a-z]+ "+word+"[ .,][a-z]*", false, 0.7)
}

func grepEither(ctx context.Context, l *lab) (finding, error) {
	var words [2]string
	for i := range words {
		word, err := corpus.Word(l.profile, needleRank+i)
		if err != nil {
			return finding{}, err
		}
		words[i] = word
	}
	return l.grep(ctx, strings.Join(words[:], "|"), false, 0)
}

func grepAny(ctx context.Context, l *lab) (finding, error) {
	return l.grep(ctx, "(ing|ed|er|ly|tion) [a-z]*[0-9]", false, 0)
}

func (l *lab) grep(ctx context.Context, pattern string, fixed bool, aim float64) (finding, error) {
	f := finding{bytes: l.size}
	input, err := l.text(l.size)
	if err != nil {
		return f, err
	}
	if err := warm(input); err != nil {
		return f, err
	}
	args := []string{"grep", pattern, "--count"}
	if fixed {
		args = append(args, "--fixed")
	}
	ours := contestant{name: "mr", command: l.job(input, args...), answer: grepCount, check: cold}
	if f.outcomes, err = l.contest(ctx, l.rounds, append([]contestant{ours}, grepRivals(input, pattern, fixed)...)...); err != nil {
		return f, err
	}
	f.against("GNU grep -c", aim)
	f.against("ripgrep -c", 0)
	return f, nil
}
