package input

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mrd-io/mr"
)

// tree makes the files of the list tests and returns their folder.
func tree(t *testing.T) string {
	dir := t.TempDir()
	for _, name := range []string{
		"a.txt", "b.log", "a/x.log", "a/y.txt", "a-b/x.log", "a/deep/er/z.log",
		".hidden/x.log", ".hidden/.more/y.log", "a/.secret", "odd[1].log", "sp ace/\xff.log",
	} {
		write(t, filepath.Join(dir, name), []byte(name))
	}
	return dir
}

func TestList(t *testing.T) {
	dir := tree(t)
	t.Chdir(dir)
	for _, c := range []struct {
		patterns []string
		want     string // names below dir, sorted by bytes
	}{
		{[]string{"a.txt"}, "a.txt"},
		{[]string{"./a/../a.txt", dir + "/a.txt", "*.txt"}, "a.txt"},
		{[]string{"."}, "a-b/x.log a.txt a/deep/er/z.log a/x.log a/y.txt b.log odd[1].log sp ace/\xff.log"},
		{[]string{"a/", "b.log"}, "a/deep/er/z.log a/x.log a/y.txt b.log"},
		{[]string{"*.log"}, "b.log odd[1].log"},
		{[]string{"odd[1].log"}, "odd[1].log"},
		{[]string{`odd\[1].log`}, "odd[1].log"},
		{[]string{"odd[[]1].log"}, "odd[1].log"},
		{[]string{"*/*.log"}, "a-b/x.log a/x.log sp ace/\xff.log"},
		{[]string{"**/*.log"}, "a-b/x.log a/deep/er/z.log a/x.log b.log odd[1].log sp ace/\xff.log"},
		{[]string{"**/**/x.log"}, "a-b/x.log a/x.log"},
		{[]string{"a/**"}, "a/deep/er/z.log a/x.log a/y.txt"},
		{[]string{"**/deep"}, "a/deep/er/z.log"},
		{[]string{"**/deep/**/z.log"}, "a/deep/er/z.log"},
		{[]string{"a?b"}, "a-b/x.log"},
		{[]string{"a/{x,y}.*"}, "a/x.log a/y.txt"},
		{[]string{"{a/deep/er,a-b}/*.log"}, "a-b/x.log a/deep/er/z.log"},
		{[]string{"{a.txt,absent}"}, "a.txt"},
		{[]string{"{b,{a,c}/x}.log"}, "a/x.log b.log"},
		{[]string{"../*/b.log"}, "b.log"},
		{[]string{".hidden"}, ".hidden/x.log"},
		{[]string{".hid*"}, ".hidden/x.log"},
		{[]string{".h*/**"}, ".hidden/x.log"},
		{[]string{"**/.secret"}, "a/.secret"},
		{[]string{"a/.secret"}, "a/.secret"},
		{[]string{"*/"}, "a-b/x.log a/deep/er/z.log a/x.log a/y.txt sp ace/\xff.log"},
		{[]string{dir + "/a/**/"}, "a/deep/er/z.log a/x.log a/y.txt"},
		{[]string{"{b*,a}/*/"}, "a/deep/er/z.log"},
		{[]string{dir + "/.hidden/*/y.log", "a.txt", ".hidden/.*/y.log"}, ".hidden/.more/y.log a.txt"},
	} {
		files, err := List(context.Background(), c.patterns)
		if slices.Contains(c.patterns, dir+"/.hidden/*/y.log") {
			if !errors.Is(err, mr.ErrUsage) {
				t.Errorf("%q: a * matched a hidden folder: %v", c.patterns, err)
			}
			files, err = List(context.Background(), c.patterns[1:])
		}
		if err != nil {
			t.Errorf("%q: %v", c.patterns, err)
			continue
		}
		var got []string
		for _, f := range files {
			rel, err := filepath.Rel(dir, f.Path)
			if err != nil || !filepath.IsAbs(f.Path) {
				t.Fatal(f.Path, err)
			}
			got = append(got, rel)
			if f.Stamp.Size != int64(len(rel)) || f.Stamp.Ino == 0 || f.Stamp.Mtime == 0 || f.Stamp.Ctime == 0 {
				t.Errorf("%s: stamp %+v", rel, f.Stamp)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.patterns, s, c.want)
		}
	}
}

// TestListInOddFolder: what the working folder is called is no part of a glob.
func TestListInOddFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[x]{y}*")
	write(t, filepath.Join(dir, "a.txt"), nil)
	t.Chdir(dir)
	if files := list(t, "*.txt"); len(files) != 1 || files[0].Path != filepath.Join(dir, "a.txt") {
		t.Errorf("got %v", files)
	}
}

func TestListLinks(t *testing.T) {
	dir := tree(t)
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("a/x.log", "link.log")  // to a file: followed
	link("a", "folder")          // to a folder: when named
	link("..", "a/up")           // a cycle
	link(".", "a/deep/er/again") // another
	if err := os.Link(filepath.Join(dir, "b.log"), filepath.Join(dir, "hard.log")); err != nil {
		t.Fatal(err)
	}
	names := func(patterns ...string) string {
		var got []string
		for _, f := range list(t, patterns...) {
			got = append(got, strings.TrimPrefix(f.Path, dir+"/"))
		}
		return strings.Join(got, " ")
	}
	for pattern, want := range map[string]string{
		"":                   "a-b/x.log a.txt a/deep/er/z.log a/x.log a/y.txt b.log hard.log link.log odd[1].log sp ace/\xff.log",
		"folder":             "folder/deep/er/z.log folder/x.log folder/y.txt",
		"fold*/*.log":        "folder/x.log",
		"**/x.log":           "a-b/x.log a/x.log",
		"link.log":           "link.log",
		"a/up/b.log":         "a/up/b.log",
		"f*/deep":            "folder/deep/er/z.log",
		"*/deep/er/again/z*": "a/deep/er/again/z.log folder/deep/er/again/z.log",
	} {
		if got := names(filepath.Join(dir, pattern)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", pattern, got, want)
		}
	}
	a, b := list(t, filepath.Join(dir, "link.log"))[0], list(t, filepath.Join(dir, "a/x.log"))[0]
	if a.Stamp != b.Stamp {
		t.Error("a link's stamp is not its file's")
	}
	for _, pattern := range []string{"", "link.log", "*.log", "folder"} {
		for _, f := range list(t, filepath.Join(dir, pattern)) {
			if f.Link != (filepath.Base(f.Path) == "link.log") {
				t.Errorf("%q: %s: Link %t", pattern, f.Path, f.Link)
			}
		}
	}
	if blocks, _, _ := readSplit(t, wholeSplit(t, filepath.Join(dir, "link.log")), Options{}); string(concat(blocks)) != "a/x.log" {
		t.Error("a link's bytes are not its file's")
	}

	link("nowhere", "broken")
	link("self", "self")
	for _, pattern := range []string{"broken", "self", "", "brok*"} {
		_, err := List(context.Background(), []string{filepath.Join(dir, pattern)})
		checkFailure(t, err, "symbolic link leads nowhere", dir)
	}
	if got := names(filepath.Join(dir, "*.txt")); got != "a.txt" {
		t.Errorf("a broken link elsewhere disturbs: %s", got)
	}
}

// TestListLinkThroughFile: a link whose target would lie below a file leads nowhere, too.
func TestListLinkThroughFile(t *testing.T) {
	dir := tree(t)
	if err := os.Symlink("b.log/x", filepath.Join(dir, "through")); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"through", "", "thr*"} {
		_, err := List(context.Background(), []string{filepath.Join(dir, pattern)})
		checkFailure(t, err, "symbolic link leads nowhere", filepath.Join(dir, "through"))
	}
	if files := list(t, filepath.Join(dir, "*/x.log")); len(files) != 2 {
		t.Errorf("it disturbs where no file is asked for: %v", files)
	}
}

func TestListSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), nil)
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{dir, dir + "/*", dir + "/**"} {
		if files := list(t, p); len(files) != 1 {
			t.Errorf("%s: %v", p, files)
		}
	}
	for _, p := range []string{filepath.Join(dir, "fifo"), "/dev/null"} {
		if _, err := List(context.Background(), []string{p}); !errors.Is(err, mr.ErrUsage) || !strings.Contains(err.Error(), p) {
			t.Errorf("%s: error %v, want usage naming it", p, err)
		}
	}
}

func TestListErrors(t *testing.T) {
	dir := tree(t)
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{
		"absent", "empty", "*.absent", "a.txt/x", "a.txt/*", "absent/**/*.log", "**/absent", "{x,y}", "a/[z-a]", "[", "{a", `a\`,
		strings.Repeat("{a,b}", 20), strings.Repeat("*/", 100), strings.Repeat("x", 300), "a\x00b",
	} {
		p := filepath.Join(dir, pattern)
		_, err := List(context.Background(), []string{filepath.Join(dir, "a.txt"), p})
		if !errors.Is(err, mr.ErrUsage) {
			t.Errorf("%q: error %v, want usage", pattern, err)
		} else if !strings.Contains(err.Error(), dir) {
			t.Errorf("the error does not name the pattern: %v", err)
		}
	}
	if _, err := List(context.Background(), []string{""}); !errors.Is(err, mr.ErrUsage) {
		t.Errorf("an empty pattern: error %v, want usage", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := List(ctx, []string{dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
	if files, err := List(context.Background(), nil); err != nil || len(files) != 0 {
		t.Errorf("no patterns: %v, %v", files, err)
	}
}

func TestExpandBraces(t *testing.T) {
	for pattern, want := range map[string]string{
		"a":              "a",
		"{a}":            "a",
		"{a,}b":          "ab b",
		"x{a,b{c,d}}y":   "xay xbcy xbdy",
		"{a,b}{c,d}":     "ac ad bc bd",
		`\{a,b}`:         `\{a,b}`,
		`{a\,b,c}`:       `a\,b c`,
		"[{]a,b}":        "[{]a,b}",
		"{a/b,c}/**/*.x": "a/b/**/*.x c/**/*.x",
	} {
		got, err := expandBraces(pattern)
		slices.Sort(got)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v; want %s", pattern, got, err, want)
		}
	}
}
