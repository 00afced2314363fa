package dfa

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func compile(t testing.TB, expr string) *Program {
	t.Helper()
	p, err := Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// agree compares what m says of texts with what regexp does.
func agree(t testing.TB, expr string, texts ...string) {
	t.Helper()
	p := compile(t, expr)
	m := p.Matcher()
	defer m.Release()
	for i, text := range texts {
		if got, want := m.Match([]byte(text)), p.re.MatchString(text); got != want {
			t.Fatalf("%q matches %q: %v, want %v", expr, text, got, want)
		}
		other := texts[len(texts)-1-i]
		if a, b := p.Matcher().Match2([]byte(text), []byte(other)); a != p.re.MatchString(text) || b != p.re.MatchString(other) {
			t.Fatalf("%q matches %q and %q: %v, %v", expr, text, other, a, b)
		}
	}
}

func TestMatch(t *testing.T) {
	texts := []string{"", "a", "b", "ab", "ba", "aab", "abab", "\n", "a\n", "\na", "a\nb", "\n\n", " a ", "a b", "_a", "a_", "é", "éa", "aé", "\u2028", "日本語", "a日", "ſ", "K", "k", "S",
		"\xff", "a\xff", "\xffa", "\xe2\x82", "\xe2\x82a", "\xe2a", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\ufffd", "\U0010ffff", "\x00", "\x7f", "\x80",
		"timeout", "a timeout b", "refuse", "refused", strings.Repeat("a", 100), strings.Repeat("ab", 50) + "c", "x=1", "12345", "user77,45,P"}
	for _, expr := range []string{"", "a", "b+", "a|b", "(a|ab)(c|bcd)(d*)", "^", "$", "^$", "^a", "a$", "^a$", "(?m)^a", "(?m)a$", "(?m)^$", `\b`, `\B`, `\ba`, `a\b`, `\Ba`, `a\B`, `\b\b`, `\b\B`,
		`\Aa`, `a\z`, ".", "..", "(?s).", "(?s)^.$", "^.$", "^..$", "[^a]", "[^\\n]", `\pL`, `\PL`, `^\pL+$`, `\w`, `\W`, `\d{5}`, `(?i)k`, `(?i)s`, `(?i)ſ`, `(?i)[k-l]`, `[\x80-\xff]`, `\x{fffd}`, "\ufffd",
		`[[:^ascii:]]`, "a{3,5}", "(a*)*", "(a*)+b", "(|a)*", "x*$", "^x*$", "timeout|refused", "(?i)TIMEOUT", "a.*b", "a.*c$", `user[0-9]*7,4[0-9],P`, `[^\x00-\x{10FFFF}]`, "a[^\\x00-\\x{10FFFF}]|b", `(?m:^)a|\bb\z`,
		`(?m)\n$`, `(?m)^\n`, `$a`, `a^`, `(?m)$a`, `(?m)a^`, `(?m)$\na`, `(^|,)b`, `(a|^)\b`, `\b$`, `^\b`, `.\b.`, `日`, `[日é]`, `é|b`} {
		agree(t, expr, texts...)
	}
}

func TestErrorIsRegexps(t *testing.T) {
	for _, expr := range []string{"(", "a**", "[b-a]", `\C`, "a{1001}", "(?<"} {
		_, want := regexp.Compile(expr)
		if _, err := Compile(expr); err == nil || err.Error() != want.Error() {
			t.Errorf("%q: %v, want %v", expr, err, want)
		}
	}
}

// expression makes an expression of what matters: alternatives, repetitions, classes, assertions, flags.
func expression(r *rand.Rand, depth int) string {
	leaves := []string{"a", "b", "c", " ", `\n`, ".", "(?s:.)", "[ab]", "[^a]", `\w`, `\W`, `\s`, `\d`, "é", "日", `\x{fffd}`, "[é-日]", `\pL`, "(?i:k)", "(?i:s)", "ab", "ba", "^", "$", `\b`, `\B`, `\A`, `\z`, "(?m:^)", "(?m:$)", ""}
	if depth == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	sub := func() string { return expression(r, depth-1) }
	switch r.IntN(9) {
	case 0:
		return "(?:" + sub() + "|" + sub() + ")"
	case 1:
		return "(?:" + sub() + ")*"
	case 2:
		return "(?:" + sub() + ")+"
	case 3:
		return "(" + sub() + ")?"
	case 4:
		return fmt.Sprintf("(?:%s){%d,%d}", sub(), r.IntN(3), 2+r.IntN(3))
	case 5:
		return sub()
	}
	return sub() + sub()
}

func words(r *rand.Rand) string {
	parts := []string{"a", "b", "c", "ab", " ", "\n", "é", "日", "\xff", "\xe2\x82", "k", "K", "ſ", "S", "_", "7", "\ufffd", "\x80", "\xf0\x9f"}
	var b strings.Builder
	for range r.IntN(9) {
		b.WriteString(parts[r.IntN(len(parts))])
	}
	return b.String()
}

func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(20, 26))
	matches, texts := 0, 0
	for range 20000 {
		expr := expression(r, 1+r.IntN(4))
		p := compile(t, expr)
		m := p.Matcher()
		for range 20 {
			text := words(r)
			want := p.re.MatchString(text)
			if got := m.Match([]byte(text)); got != want {
				t.Fatalf("%q matches %q: %v, want %v", expr, text, got, want)
			}
			before := words(r)
			if a, b := m.Match2([]byte(before), []byte(text)); a != p.re.MatchString(before) || b != want {
				t.Fatalf("%q matches %q and %q: %v, %v", expr, before, text, a, b)
			}
			texts++
			if want {
				matches++
			}
		}
	}
	if matches < texts/10 || matches > texts*9/10 {
		t.Errorf("%d of %d match: that tells little", matches, texts)
	}
}

// TestManyStates has expressions with more states than are kept, on texts that lead to all of them.
func TestManyStates(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, expr := range []string{"a.{18}$", "(a|b)*a(a|b){20}c", "[ab]{0,200}x"} {
		p := compile(t, expr)
		m := p.Matcher()
		var text []byte
		for i := range 3000 {
			text = text[:0]
			for range 60 {
				text = append(text, "abc"[r.IntN(2+i%2)])
			}
			if got, want := m.Match(text), p.re.Match(text); got != want {
				t.Fatalf("%q matches %q: %v, want %v", expr, text, got, want)
			}
			if a, b := m.Match2(text, text[:i%60]); a != p.re.Match(text) || b != p.re.Match(text[:i%60]) {
				t.Fatalf("%q matches %q and %q: %v, %v", expr, text, text[:i%60], a, b)
			}
			if len(m.next) > entriesMost {
				t.Fatalf("%q: %d entries, at most %d wanted", expr, len(m.next), entriesMost)
			}
		}
	}
	p := compile(t, "a.{18}$")
	m := p.Matcher()
	for range 20000 {
		text := make([]byte, 60)
		for i := range text {
			text[i] = "ab"[r.IntN(2)]
		}
		if got, want := m.Match(text), text[len(text)-19] == 'a'; got != want {
			t.Fatalf("%q: %v", text, got)
		}
	}
	if !m.given {
		t.Error("it makes states for ever that are hardly used")
	}
}

// TestStatesAnew is of a text that leads to more states than are kept, but slowly.
func TestStatesAnew(t *testing.T) {
	p := compile(t, "a.{16}$")
	m := p.Matcher()
	r := rand.New(rand.NewPCG(3, 4))
	pause := strings.Repeat("b", 2000)
	anew, before := 0, 0
	for range 40000 {
		text := make([]byte, 40)
		for i := range text {
			text[i] = "ab"[r.IntN(2)]
		}
		if got, want := m.Match(text), text[len(text)-17] == 'a'; got != want {
			t.Fatalf("%q: %v", text, got)
		}
		if m.Match([]byte(pause)) {
			t.Fatal("b matches")
		}
		if len(m.states) < before {
			anew++
		}
		before = len(m.states)
	}
	if anew == 0 || m.given {
		t.Errorf("begun anew %d times, given up: %v", anew, m.given)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("a.*b$|(?i)k\\b", "aé\xffb")
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 100 {
			return
		}
		if p, err := Compile(expr); err == nil {
			if got, want := p.Matcher().Match([]byte(text)), p.re.MatchString(text); got != want {
				t.Fatalf("%q matches %q: %v, want %v", expr, text, got, want)
			}
		}
	})
}
