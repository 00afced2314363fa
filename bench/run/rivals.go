package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The rivals. Each is written as somebody who knows the tool would write it for two or more cores, with
// LC_ALL=C, and prints word TAB n, or what its row says.

const (
	countFields = `{for(i=1;i<=NF;i++)c[$i]++}END{for(w in c)print w"\t"c[w]}`
	countLines  = `{c[$0]++}END{for(w in c)print w"\t"c[w]}`
	addCounts   = `{c[$1]+=$2}END{for(w in c)printf "%s\t%d\n",w,c[w]}`
)

// script writes a file that pipelines read, so that they need no quotes within quotes.
func (l *lab) script(name, text string) (string, error) {
	path := filepath.Join(l.dir, name)
	return path, os.WriteFile(path, []byte(text+"\n"), 0o666)
}

// wordLines is the answer of a rival that printed word TAB n.
func (l *lab) wordLines(out string, _ sample) (string, error) { return l.digest.lines(nil, out) }

func (l *lab) ceilingCount(input string) contestant {
	return contestant{name: "ceiling", answer: l.wordLines, command: func(out string) command {
		return command{argv: []string{l.ceiling, input}, stdout: out}
	}}
}

// wordRivals count the words of one file.
func (l *lab) wordRivals(input string) ([]contestant, error) {
	fields, err := l.script("fields.awk", countFields)
	if err != nil {
		return nil, err
	}
	add, err := l.script("add.awk", addCounts)
	if err != nil {
		return nil, err
	}
	return []contestant{
		{name: "DuckDB", needs: "duckdb", answer: l.wordLines, command: func(out string) command { return l.duckCount(input, out) }},
		{name: "mawk", needs: "mawk", answer: l.wordLines, command: func(out string) command {
			return shell(fmt.Sprintf("mawk -f %s %s > %s", fields, input, out))
		}},
		{name: "tr, sort, uniq", needs: "tr sort uniq", command: func(out string) command {
			return shell(fmt.Sprintf(`tr -s ' \t\n' '\n\n\n' < %s | sed '/^$/d' | sort --parallel=%d -S %dM -T %s | uniq -c > %s`, input, cores(), ram()>>22, l.dir, out))
		}, answer: func(out string, _ sample) (string, error) { return l.digest.lines(uniqLine, out) }},
		{name: "parallel, mawk", needs: "parallel mawk", answer: l.wordLines, command: func(out string) command {
			return shell(fmt.Sprintf("parallel --will-cite --tmpdir %s --pipepart -a %s --block -1 -j %d mawk -f %s | mawk -f %s > %s", l.dir, input, cores(), fields, add, out))
		}},
	}, nil
}

// duckCount reads lines as a CSV of one column that nothing separates.
func (l *lab) duckCount(input, out string) command {
	sql := fmt.Sprintf(`SET threads=%d; SET temp_directory='%s';
COPY (SELECT word, count(*) AS n FROM (
  SELECT unnest(string_split(translate(line, chr(9), ' '), ' ')) AS word
  FROM read_csv('%s', columns={'line':'VARCHAR'}, delim=chr(1), quote='', escape='', header=false, auto_detect=false, max_line_size=16777216))
 WHERE word <> '' GROUP BY word ORDER BY word)
TO '%s' (FORMAT csv, DELIMITER '\t', HEADER false, QUOTE '', ESCAPE '');`, cores(), filepath.Join(l.dir, "duckdb.tmp"), input, out)
	return command{argv: []string{"duckdb", "-c", sql}}
}

// treeRivals count the words of all files below a folder.
func (l *lab) treeRivals(dir string) ([]contestant, error) {
	fields, err := l.script("fields.awk", countFields)
	if err != nil {
		return nil, err
	}
	lines, err := l.script("lines.awk", countLines)
	if err != nil {
		return nil, err
	}
	add, err := l.script("add.awk", addCounts)
	if err != nil {
		return nil, err
	}
	pipeline := func(name, count string) contestant {
		return contestant{name: name, needs: "parallel mawk tr", answer: l.wordLines, command: func(out string) command {
			return shell(fmt.Sprintf("find %s -type f -print0 | parallel --will-cite --tmpdir %s -0 -j %d -n 1000 'cat {} | %s' | mawk -f %s > %s", dir, l.dir, cores(), count, add, out))
		}}
	}
	return []contestant{
		pipeline("parallel cat, mawk", "mawk -f "+fields),
		pipeline("parallel cat, tr, mawk", `tr -s " \t\n" "\n\n\n" | sed "/^\$/d" | mawk -f `+lines),
	}, nil
}

// gnuSort sorts lines with that much memory.
func (l *lab) gnuSort(input string, memory int64) contestant {
	return contestant{name: "GNU sort", needs: "sort", command: func(out string) command {
		return command{argv: []string{"sort", "--parallel=" + strconv.Itoa(max(2, cores())), "-S", fmt.Sprintf("%dK", memory>>10), "-T", l.dir, "-o", out, input},
			env: []string{"LC_ALL=C"}}
	}, answer: func(out string, _ sample) (string, error) { return bytesDigest(out) }}
}

// grepRivals count the lines of one file that match.
func grepRivals(input, pattern string, fixed bool) []contestant {
	gnu, rg := []string{"grep", "-c", "-E"}, []string{"rg", "-c"}
	if fixed {
		gnu[2], rg = "-F", append(rg, "-F")
	}
	count := func(_ string, s sample) (string, error) { return strings.TrimSpace(string(s.stdout)), nil }
	return []contestant{
		{name: "GNU grep -c", needs: "grep", answer: count, command: func(string) command {
			return command{argv: append(gnu, "-e", pattern, input), env: []string{"LC_ALL=C"}}
		}},
		{name: "ripgrep -c", needs: "rg", answer: count, command: func(string) command {
			return command{argv: append(rg, "-e", pattern, input)}
		}},
	}
}

// grepCount is the answer of grep --count over one file: n of "path TAB n".
func grepCount(out string, _ sample) (string, error) {
	ps, err := parts(out)
	if err != nil {
		return "", err
	}
	var all []byte
	for _, p := range ps {
		b, err := os.ReadFile(p)
		if err != nil {
			return "", err
		}
		all = append(all, b...)
	}
	_, n, ok := bytes.Cut(bytes.TrimSpace(all), []byte("\t"))
	if !ok {
		return "0", nil
	}
	return string(n), nil
}
