package builtin

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/mrd-io/mr"
)

// doc is one input file.
type doc struct{ path, text string }

// feed serves documents in blocks of whole records.
type feed struct {
	docs   []doc
	format mr.Format
	size   int
	off    int
}

func (f *feed) Next() (mr.Block, error) {
	if len(f.docs) == 0 {
		return mr.Block{}, io.EOF
	}
	d := f.docs[0]
	end := len(d.text)
	if end-f.off > f.size {
		switch f.format.Kind {
		case mr.Fixed:
			end = f.off + max(f.size/f.format.N, 1)*f.format.N
		case mr.Text:
			if i := strings.IndexByte(d.text[f.off+f.size:], '\n'); i >= 0 {
				end = f.off + f.size + i + 1
			}
		}
	}
	end = min(end, len(d.text))
	b := mr.Block{Data: []byte(d.text[f.off:end]), Path: d.path, Off: int64(f.off), Last: end == len(d.text)}
	if f.off = end; b.Last {
		f.docs, f.off = f.docs[1:], 0
	}
	return b, nil
}

type rec struct{ k, v string }

type recs []rec

func (r *recs) Record(k, v []byte) error {
	*r = append(*r, rec{string(k), string(v)})
	return nil
}

func (r *recs) Next() ([]byte, []byte, error) {
	if len(*r) == 0 {
		return nil, nil, io.EOF
	}
	p := (*r)[0]
	*r = (*r)[1:]
	return []byte(p.k), []byte(p.v), nil
}

// run executes a built-in: one map task a document, a merge, one reduce task, and the
// output's bytes as a worker would write them.
func run(t testing.TB, name, format string, docs []doc, args ...string) string {
	t.Helper()
	d, ok := Lookup()(name)
	if !ok {
		t.Fatalf("no job %s", name)
	}
	p, err := d.Configure(args)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mr.ParseFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	var all recs
	for _, one := range docs {
		env := mr.TaskEnv{Format: f, SpillDir: t.TempDir(), Memory: 1 << 20}
		if _, err := p.Map(t.Context(), env, &feed{docs: []doc{one}, format: f, size: 100}, &all); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortStableFunc(all, func(a, b rec) int { return strings.Compare(a.k, b.k) })
	var out recs
	if _, err := p.Reduce(t.Context(), mr.TaskEnv{}, &all, &out); err != nil {
		t.Fatal(err)
	}
	return render(p.Traits(), f, out)
}

func render(tr mr.Traits, f mr.Format, out recs) string {
	var b strings.Builder
	for _, r := range out {
		b.WriteString(r.k)
		if !tr.NoKey && !tr.NoValue {
			b.WriteByte('\t')
		}
		b.WriteString(r.v)
		if !tr.RawFor(f) {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// hostile are inputs that are easily got wrong.
func hostile() []doc {
	return []doc{
		{"empty", ""},
		{"newline", "\n"},
		{"no-end", "alpha beta\ngamma"},
		{"crlf", "alpha\r\nbeta beta\r\n\r\nlast\r"},
		{"nul", "a\x00b \x00\nnul\x00nul\x00\x00\n\x00"},
		{"utf8", "Grüße ΑΒΓ ǅ naïve\xff\xfe x\xc3 \xe2\x82 日本語,テスト İ\n\xc3\x28"},
		{"blanks", " \t lead  and\vtrail\f \r \n   \n\n"},
		{"long", strings.Repeat("longline ", 11000) + "end\nshort\n"},
		{"hot", strings.Repeat("hot\nhot spot\n", 700) + "A aa AAA\n"},
		{"high", "\x89\x8a\xa0 \x80\n\x85x\u00a0y\u2003z\n"},
	}
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	ls := strings.SplitAfter(text, "\n")
	if ls[len(ls)-1] == "" {
		ls = ls[:len(ls)-1]
	}
	for i, l := range ls {
		if cut, ok := strings.CutSuffix(l, "\n"); ok {
			ls[i] = strings.TrimSuffix(cut, "\r")
		}
	}
	return ls
}

// naiveWords is another way to cut words.
func naiveWords(line string, letters, lower bool) []string {
	var ws []string
	if letters {
		ws = strings.FieldsFunc(strings.ToValidUTF8(line, " "), func(r rune) bool { return !unicode.IsLetter(r) })
	} else {
		ws = regexp.MustCompile(`[ \t\n\v\f\r]+`).Split(line, -1)
		ws = slices.DeleteFunc(ws, func(w string) bool { return w == "" })
	}
	if lower {
		for i, w := range ws {
			var b strings.Builder
			for len(w) > 0 {
				r, n := utf8.DecodeRuneInString(w)
				if r == utf8.RuneError && n == 1 {
					b.WriteByte(w[0])
				} else {
					b.WriteRune(unicode.ToLower(r))
				}
				w = w[n:]
			}
			ws[i] = b.String()
		}
	}
	return ws
}

func counted(m map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s\t%d\n", k, m[k])
	}
	return b.String()
}

func equal(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("%d lines, want %d; first difference in line %d:\n got %.200q\nwant %.200q", len(g), len(w), i, g[min(i, len(g)-1)], w[min(i, len(w)-1)])
		}
	}
}

func wordFlagSets(t *testing.T, f func(t *testing.T, args []string, letters, lower bool)) {
	for _, args := range [][]string{nil, {"--letters"}, {"--lower"}, {"--lower", "--letters"}} {
		t.Run(strings.Join(args, ""), func(t *testing.T) {
			f(t, args, slices.Contains(args, "--letters"), slices.Contains(args, "--lower"))
		})
	}
}

func TestWordcount(t *testing.T) {
	wordFlagSets(t, func(t *testing.T, args []string, letters, lower bool) {
		want := map[string]int{}
		for _, d := range hostile() {
			for _, l := range lines(d.text) {
				for _, w := range naiveWords(l, letters, lower) {
					want[w]++
				}
			}
		}
		equal(t, run(t, "wordcount", "text", hostile(), args...), counted(want))
	})
}

func TestIndex(t *testing.T) {
	wordFlagSets(t, func(t *testing.T, args []string, letters, lower bool) {
		in := map[string]map[string]bool{}
		for _, d := range hostile() {
			for _, l := range lines(d.text) {
				for _, w := range naiveWords(l, letters, lower) {
					if in[w] == nil {
						in[w] = map[string]bool{}
					}
					in[w][d.path] = true
				}
			}
		}
		var want strings.Builder
		for _, w := range slices.Sorted(maps.Keys(in)) {
			paths := slices.Sorted(maps.Keys(in[w]))
			fmt.Fprintf(&want, "%s\t%d %s\n", w, len(paths), strings.Join(paths, ","))
		}
		docs := hostile()
		equal(t, run(t, "index", "text", docs, args...), want.String())
		slices.Reverse(docs) // nobody reads them so, but if they did
		equal(t, run(t, "index", "text", docs, args...), want.String())
	})
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		args  []string
		field func(line string) string
	}{
		{nil, func(l string) string { return l }},
		{[]string{"--field", "2"}, func(l string) string {
			if ws := naiveWords(l, false, false); len(ws) > 1 {
				return ws[1]
			}
			return ""
		}},
		{[]string{"--field=2", "--sep", "ll"}, func(l string) string {
			if fs := strings.Split(l, "ll"); len(fs) > 1 {
				return fs[1]
			}
			return ""
		}},
		{[]string{"--field=1", "--sep", " "}, func(l string) string { return strings.Split(l, " ")[0] }},
	} {
		t.Run(strings.Join(c.args, ""), func(t *testing.T) {
			want := map[string]int{}
			for _, d := range hostile() {
				for _, l := range lines(d.text) {
					want[c.field(l)]++
				}
			}
			equal(t, run(t, "count", "text", hostile(), c.args...), counted(want))
		})
	}
}

func TestSort(t *testing.T) {
	sub := func(l string, a, b int) string { return l[min(a, len(l)):min(b, len(l))] }
	for _, c := range []struct {
		args []string
		less func(a, b string) int
		uniq bool
	}{
		{nil, strings.Compare, false},
		{[]string{"--unique"}, strings.Compare, true},
		{[]string{"--key-bytes", "1:3"}, func(a, b string) int {
			if c := strings.Compare(sub(a, 1, 3), sub(b, 1, 3)); c != 0 {
				return c
			}
			return strings.Compare(a, b)
		}, false},
	} {
		t.Run(strings.Join(c.args, ""), func(t *testing.T) {
			var want []string
			for _, d := range hostile() {
				want = append(want, lines(d.text)...)
			}
			slices.SortFunc(want, c.less)
			if c.uniq {
				want = slices.Compact(want)
			}
			equal(t, run(t, "sort", "text", hostile(), c.args...), strings.Join(want, "\n")+"\n")
		})
	}
}

func TestSortFixedRecordsStayRaw(t *testing.T) {
	in := "dd\n\x00b\raaaa\n\n\n\ndd\n\x00"
	equal(t, run(t, "sort", "fixed:4", []doc{{"f", in}}), sorted4(in))
}

func sorted4(s string) string {
	var rs []string
	for i := 0; i < len(s); i += 4 {
		rs = append(rs, s[i:min(i+4, len(s))])
	}
	slices.Sort(rs)
	return strings.Join(rs, "")
}

func TestGrep(t *testing.T) {
	for _, c := range []struct {
		args []string
		re   string
	}{
		{[]string{"beta"}, `beta`},
		{[]string{"^beta"}, `^beta`},
		{[]string{"a$"}, `a$`},
		{[]string{"l+ongline.*end"}, `l+ongline.*end`},
		{[]string{"(hot) s[p]ot"}, `hot spot`},
		{[]string{"hot|alpha"}, `hot|alpha`},
		{[]string{"--ignore-case", "AAA"}, `(?i)aaa`},
		{[]string{"--ignore-case", "Hot sPOt"}, `(?i)hot spot`},
		{[]string{"--ignore-case", "eta$"}, `(?i)eta$`},
		{[]string{"--fixed", "a\x00b"}, "a\x00b"},
		{[]string{"--fixed", "\r"}, "\r"},
		{[]string{"a.b", "--fixed"}, `a\.b`},
		{[]string{"--fixed", ""}, ``},
		{[]string{"--fixed", "--ignore-case", "A."}, `(?i)a\.`},
		{[]string{""}, ``},
		{[]string{"e\nb"}, "e\nb"},
		{[]string{`x\x{fffd}`}, `x\x{fffd}`},
		{[]string{`\bs\w+t\b`}, `\bs\w+t\b`},
	} {
		t.Run(fmt.Sprintf("%q", c.args), func(t *testing.T) {
			re := regexp.MustCompile(c.re)
			docs := slices.SortedFunc(slices.Values(hostile()), func(a, b doc) int { return strings.Compare(a.path, b.path) })
			var want strings.Builder
			n := map[string]int{}
			for _, d := range docs {
				off := 0
				for _, raw := range strings.SplitAfter(d.text, "\n") {
					if ls := lines(raw); len(ls) == 1 && re.MatchString(ls[0]) {
						fmt.Fprintf(&want, "%s:%d\t%s\n", d.path, off, ls[0])
						n[d.path]++
					}
					off += len(raw)
				}
			}
			equal(t, run(t, "grep", "text", hostile(), c.args...), want.String())
			equal(t, run(t, "grep", "text", hostile(), append([]string{"--count"}, c.args...)...), counted(n))
		})
	}
}

func TestOtherFormats(t *testing.T) {
	in := []doc{{"d", "ab cab \ncab"}}
	equal(t, run(t, "wordcount", "fixed:3", in), "ab\t2\nc\t1\ncab\t1\n")
	equal(t, run(t, "count", "fixed:3", in), counted(map[string]int{"ab ": 1, "cab": 1, " \nc": 1, "ab": 1}))
	equal(t, run(t, "grep", "fixed:3", in, "ab", "--fixed"), "d:0\tab \nd:3\tcab\nd:9\tab\n")
	equal(t, run(t, "count", "whole", in), "ab cab \ncab\t1\n")
	equal(t, run(t, "grep", "whole", in, `b \nc`), "d:0\tab cab \ncab\n")
}

func TestTenMegabyteLine(t *testing.T) {
	line := bytes.Repeat([]byte("0123456789abcde "), 10<<16)
	in := []doc{{"big", string(line) + "needle\nx\n"}}
	equal(t, run(t, "grep", "text", in, "--count", "needle$"), "big\t1\n")
	equal(t, run(t, "wordcount", "text", in), fmt.Sprintf("0123456789abcde\t%d\nneedle\t1\nx\t1\n", 10<<16))
	if out := run(t, "sort", "text", in); len(out) != len(in[0].text) {
		t.Errorf("sort wrote %d bytes of %d", len(out), len(in[0].text))
	}
}

func TestRequiredNeedles(t *testing.T) {
	for expr, want := range map[string]string{
		`foo`: "foo", `(?i)foo`: "~foo", `a(bc)d+e`: "abc d e", `x*hello[a-z]world!`: "world! hello",
		`foo|bar`: "foo,bar", `(abc){2,3}`: "abc", `(abc)?d`: "d", `^GET /\w+ HTTP`: "GET_/ _HTTP", `a\bc`: "ac", `\x{fffd}`: "", `[`: "",
		`(?i)Kelvin`: "", `(?i)é`: "", `(?i:FOO)bar`: "~foobar bar", `(?i)ab(?-i:c)[x-z]`: "~abc c", `(?i)\bERROR\b 7`: "~error_7", `(?i)x[0-9]+quit`: "~quit ~x",
		`timeout|refused`: "timeout,refused", `(?i)timeout|reuse`: "", `(?i)(timeout|dead)[.]`: "~timeout,~dead .", `foo|[a-z]`: "", `foo|`: "", `a|b|c|d`: "", `(one|three)x(two|[a-z]four|six)+`: "one,three two,four,six x",
		`(foo|ba(r|z)q)x`: "foo,ba x", `a.b.c.d.eeeee`: "eeeee a b c", `(a.bc|def)`: "bc,def",
	} {
		var got []string
		for _, n := range requiredNeedles(expr) {
			var either []string
			for _, l := range n {
				text := strings.ReplaceAll(string(l.text), " ", "_")
				if l.fold {
					text = "~" + text
				}
				either = append(either, text)
			}
			got = append(got, strings.Join(either, ","))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func TestWrongArguments(t *testing.T) {
	for _, args := range []string{"grep", "grep a b", "grep (", "sort x", "sort --key-bytes 3", "sort --key-bytes 3:3", "count --sep x", "count --field -1", "wordcount --upper", "index x"} {
		f := strings.Fields(args)
		d, _ := Lookup()(f[0])
		if _, err := d.Configure(f[1:]); mr.KindOf(err) != mr.Usage || err == nil {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// TestGoldenOutput holds what the version constants promise: if a job's output on the
// same input changes, outputs on record are wrong for it, and its version must change.
func TestGoldenOutput(t *testing.T) {
	for _, c := range []struct{ job, version, args, want string }{
		{"wordcount", "1", "", "92a5970db936419a"},
		{"wordcount", "1", "--letters --lower", "44f29d3e4f247247"},
		{"index", "3", "--letters", "dc857d5dd537683a"},
		{"count", "1", "--field 1", "6f0dbed0913c33a9"},
		{"sort", "1", "", "999cf6df34eeff63"},
		{"sort", "1", "--key-bytes 1:4 --unique", "478485ea2e25acbb"},
		{"grep", "1", "[a-c]\\w", "0b9510b1efc8de67"},
		{"grep", "1", "--count --ignore-case A", "6abee54d2b6c05f9"},
	} {
		d, _ := Lookup()(c.job)
		p, err := d.Configure(strings.Fields(c.args))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(run(t, c.job, "text", hostile(), strings.Fields(c.args)...)))
		if got := hex.EncodeToString(sum[:8]); got != c.want || p.Traits().Version != c.version {
			t.Errorf("%s %s: version %s, digest %s; want version %s, digest %s", c.job, c.args, p.Traits().Version, got, c.version, c.want)
		}
	}
}

// FuzzWords checks the fast tokenizers against the naive ones.
func FuzzWords(f *testing.F) {
	for _, d := range hostile() {
		f.Add([]byte(d.text))
	}
	for _, pattern := range []string{"a ", "ab\t\n", strings.Repeat("x", 63) + " ", "Ä1 é\xff", "日本語 テキスト、", "\xe6\x97", "aK\u212aİ\u0130Ⱥ", "\xf0\x90\x90\x80x", "xyz\xf0\x90\x90\x80", "a b c d e f g h i j k l m n o p q r s t u v w x y z"} {
		f.Add([]byte(strings.Repeat(pattern, 3000)))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, z := range []tokenizer{{}, {letters: true}, {lower: true}, {letters: true, lower: true}} {
			var got []string
			z.spans(text, func(text []byte, at []uint32) {
				for i := 0; i < len(at); i += 2 {
					got = append(got, string(text[at[i]:at[i+1]]))
				}
			})
			if want := naiveWords(string(text), z.letters, z.lower); !slices.Equal(got, want) {
				t.Fatalf("letters %v, lower %v: got %q, want %q", z.letters, z.lower, got, want)
			}
		}
	})
}

// What is known of letters by characters: lower case makes no letter, and unmakes none, or words
// would be cut elsewhere behind it.
func TestLowerCaseOfLetters(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if is := unicode.IsLetter(r); is != unicode.IsLetter(unicode.ToLower(r)) || is != isWideLetter(r) {
			t.Errorf("%U: a letter: %v, as a bit: %v, in lower case: %v", r, is, isWideLetter(r), unicode.IsLetter(unicode.ToLower(r)))
		}
	}
}

// Who keeps what a definition was configured to finds it again by the definition.
func TestLookupReturnsTheSame(t *testing.T) {
	find := Lookup()
	for _, d := range Jobs() {
		a, _ := find(d.Name())
		b, _ := find(d.Name())
		if a == nil || a != b {
			t.Errorf("%s: %p, then %p", d.Name(), a, b)
		}
	}
}
