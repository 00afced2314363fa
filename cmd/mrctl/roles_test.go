package main

import (
	"go/token"
	"strings"
	"testing"
)

// rewritten is the map role's version of a file.
func rewritten(t *testing.T, source string) (string, bool) {
	t.Helper()
	packages := map[string]*listedPackage{
		module: {Name: "mr", Imports: []string{"strings"}}, "strings": {Name: "strings"},
		"encoding/json": {Name: "json", GoFiles: []string{"gone.go"}}, "idle": {Name: "idle"}, "os": {Name: "os"},
	}
	r := &roleSources{fset: token.NewFileSet(), packages: packages, dropped: dropped("mr_map"), funcs: map[string]*roleFunc{}}
	if !r.add("/src/main.go", []byte(source)) {
		return "", false
	}
	r.findLive()
	text, ok := r.rewrite(r.files[0])
	return string(text), ok
}

const roleJob = `// Package main counts.
package main

import (
	"strings"

	"github.com/mrd-io/mr"
)

// total adds up.
func total(x int) string {
	return strings.Repeat("x", x) // with strings
}

// help helps total alone.
func help() {}

func words() {}

func main() {
	n := 3
	mr.Main(mr.Job("count", mr.Map(words), mr.Reduce(total)), n)
}
`

func TestRoleSources(t *testing.T) {
	got, ok := rewritten(t, roleJob)
	want := `package main
import "github.com/mrd-io/mr"
//line main.go, func total:1
func total(x int) string { panic("mr: built for another role") }
//line main.go, func words:1
func words() {}
//line main.go, func main:1
func main() {
	n := 3
	mr.Main(mr.Job("count", mr.Map(words), mr.Reduce(total)), n)
}
`
	if !ok || got != want {
		t.Fatalf("%v\n%s", ok, got)
	}
	for _, c := range []struct {
		name, old, with string
		same            bool   // as without the edit
		holds, lacks    string // of what is made
	}{
		{"the reducer", `return strings.Repeat("x", x)`, `return "another" + help()`, true, "", ""},
		{"lines above", "// total adds up.", "// total adds\n//\n// up.\n\n", true, "", ""},
		{"another helper", "// help helps", "func more() { help() }\n\n// help helps", true, "", ""},
		{"a recursive reducer", `return strings.Repeat("x", x)`, `return total(x - 1)`, true, "", ""},
		{"an import that is there anyhow", `strings.Repeat("x", x)`, `strings.ToUpper("x")`, true, "", ""},
		{"a new import", "\t\"strings\"\n", "\t\"encoding/json\"\n\t\"strings\"\n", false, `import _ "encoding/json"`, ""},
		{"a new import with nothing to initialise", "\t\"strings\"\n", "\t\"idle\"\n\t\"strings\"\n", true, "", ""},
		{"a blank import", "\t\"strings\"\n", "\t_ \"os\"\n\t\"strings\"\n", false, `import _ "os"`, ""},
		{"a named import that only the reducer uses", "\t\"strings\"\n", "\ts \"idle\"\n\t\"strings\"\n", true, "", ""},
		{"the mapper", "func words() {}", "func words() { help() }", false, "func help() {}", ""},
		{"a mapper that uses the reducer", "func words() {}", "func words() { total(1) }", false, "strings.Repeat", "panic"},
		{"a method of the reducer's name", "func words() {}", "type t struct{ total int }\n\nfunc words() {}", false, "strings.Repeat", "panic"},
		{"a combiner that is the reducer", "mr.Map(words)", "mr.Map(words), mr.Combine(total)", false, "strings.Repeat", "panic"},
		{"a reducer that is made", "mr.Reduce(total)", "mr.Reduce(wrap(total))", false, "strings.Repeat", "panic"},
		{"a literal", "mr.Reduce(total)", "mr.Reduce(func(int) string { return total(n) })", false, `func(int) string { _ = n; panic(`, "strings.Repeat"},
		{"the version of the language", "// Package main counts.", "//go:build linux && go1.21\n", false, "//go:build go1.21\n\npackage main", ""},
		{"a build constraint", "// Package main counts.", "//go:build linux\n", true, "", ""},
		{"another package's Reduce", "mr.Reduce(total)", "os.Reduce(total)", false, "strings.Repeat", "panic"},
		{"a variable called mr", "n := 3", "n := 3; mr := n", false, "strings.Repeat", "panic"},
	} {
		edited := strings.Replace(roleJob, c.old, c.with, 1)
		if edited == roleJob {
			t.Fatalf("%s: nothing was edited", c.name)
		}
		now, ok := rewritten(t, edited)
		switch {
		case !ok:
			t.Errorf("%s: refused", c.name)
		case (now == got) != c.same:
			t.Errorf("%s: the same: %v\n%s", c.name, now == got, now)
		case !strings.Contains(now, c.holds) || c.lacks != "" && strings.Contains(now, c.lacks):
			t.Errorf("%s: should hold %q and lack %q\n%s", c.name, c.holds, c.lacks, now)
		}
	}
	for _, c := range []struct{ call, funcs, holds, lacks string }{
		{"most(n, func() {})", "func most(n int, f func()) func() { return pick(n, f) }\nfunc pick(n int, f func()) func() { return func() { total(n) } }",
			"func most(n int, f func()) func() { return nil }", "total"},
		{"most(n)", "func most(n int) func() { println(n); return func() { total(n) } }", "println", "nil"},
		{"most(n.x)", "func most(n int) func() { return func() { total(n) } }", "func() { total(n) }", "nil"},
		{"most(n)", "func most(n int) func() { return func() { total(n) } }\nvar _ = most", "func() { total(n) }", "nil"},
		{"most(n)", "func most(n int) func() { return most(n) }", "return most(n)", "nil"}, // for ever
	} {
		now, ok := rewritten(t, strings.Replace(roleJob, "mr.Reduce(total)", "mr.Reduce("+c.call+")", 1)+c.funcs)
		if !ok || !strings.Contains(now, c.holds) || strings.Contains(now, c.lacks) {
			t.Errorf("%s of %s: should hold %q and lack %q\n%s", c.call, c.funcs, c.holds, c.lacks, now)
		}
	}
	// The order in which variables are initialised may hang on a body that is replaced.
	vars := "\n\nvar (\n\ta, b = help2(), 1\n\tfree int\n)\n\nvar opt = mr.Reduce(func(b int) { free, b = a, b; s{}.m() })\n\ntype s struct{}\n\nfunc (s) m() { c++ }\n\nvar c = 2\n\nvar d = 3\n"
	now, ok := rewritten(t, strings.Replace(roleJob, "return strings.Repeat", "_ = d; return strings.Repeat", 1)+vars)
	for _, want := range []string{`func(b int) { _ = a; _ = c; panic(`, `func total(x int) string { _ = d; panic(`} {
		if !ok || !strings.Contains(now, want) {
			t.Errorf("should hold %q\n%s", want, now)
		}
	}
	// A local name hides a variable of the package, or is all that there is to it.
	hidden := "\n\nvar a, b, c = f(), f(), f()\n\nfunc f() int { c := 1; return c }\n\nfunc g() int { return a }\n\n" +
		"var opt = func() mr.Option { a := 1; return mr.Reduce(func(x int) { b := f() + a; _ = b + g() + t{c: 1}.b }) }()\n\ntype t struct{ b, c int }\n"
	now, ok = rewritten(t, strings.NewReplacer("total(x int)", "total(a int)", `strings.Repeat("x", x)`, "g()").Replace(roleJob)+hidden)
	for _, want := range []string{
		`func(x int) { _ = a; mr_6d61696e2e676f_a(); panic(`, `func total(a int) string { mr_6d61696e2e676f_a(); panic(`,
		"func mr_6d61696e2e676f_a() { _ = a }\n",
	} {
		if !ok || !strings.Contains(now, want) || strings.Contains(now, "_ = b") || strings.Contains(now, "_ = c") {
			t.Errorf("should hold %q, and neither b nor c\n%s", want, now)
		}
	}
	// The keys of a literal are fields, or refer to variables; or nobody can tell.
	for _, c := range []struct{ lit, holds string }{
		{"fields{a: 1}", "func(x int) { panic("},
		{"struct{ a int }{a: 1}", "func(x int) { panic("},
		{"[]fields{{other: 1}}", "func(x int) { panic("},
		{"table{a: 1}", "func(x int) { _ = a; panic("},
		{"of[int]{a: 1}", "func(x int) { _ = a; panic("},
		{"map[int]int{a: 1}", "func(x int) { _ = a; panic("},
		{"[]table{{g(): 1}}", "func(x int) { _ = a; panic("},
		{"strings.Table{g(): 1}", "func(x int) { _ = a; panic("},
		{"[]table{{a: 1}}", ""},
		{"strings.Table{a: 1}", ""},
	} {
		now, ok := rewritten(t, roleJob+"\n\nvar a = f()\n\nfunc f() int { return 1 }\n\nfunc g() int { return a }\n\nvar opt = mr.Reduce(func(x int) { _ = "+c.lit+
			" })\n\ntype fields struct{ a, other int }\n\ntype table map[int]int\n\ntype of[K comparable] map[K]int\n")
		if ok != (c.holds != "") || !strings.Contains(now, c.holds) {
			t.Errorf("%s: %v, should hold %q\n%s", c.lit, ok, c.holds, now)
		}
	}
	for _, c := range []string{"//go:embed x", "//go:linkname a b", "//line x:1", "//export f"} {
		if _, ok := rewritten(t, strings.Replace(roleJob, "// help helps total alone.", c, 1)); ok {
			t.Errorf("%s was not refused", c)
		}
	}
	if _, ok := rewritten(t, strings.Replace(roleJob, `"strings"`, `. "strings"`, 1)); ok {
		t.Error("a dot import was not refused")
	}
}
