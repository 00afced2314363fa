package mr_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mrd-io/mr"

// layers is the house: what each package may import of this module, and which foreign
// modules besides. Imports point down only. A new edge needs a reason in RATIONALE.md.
var layers = map[string]struct {
	own     []string
	foreign []string
}{
	"internal/childproto": {},
	"internal/durable":    {},
	"internal/failpoint":  {},
	"internal/words":      {},
	"internal/dfa":        {},
	"internal/prefetch":   {},
	"collect":             {own: []string{"internal/prefetch"}},
	"clock":               {},
	".":                   {own: []string{"collect", "internal/childproto", "internal/words"}},
	"internal/size":       {own: []string{"."}},
	"internal/where":      {own: []string{"."}},
	"internal/exit":       {own: []string{"."}},
	"input":               {own: []string{"."}, foreign: []string{"github.com/klauspost/compress", "github.com/zeebo/blake3", "github.com/zeebo/xxh3", "github.com/bmatcuk/doublestar", "golang.org/x/sys"}},
	"run":                 {own: []string{".", "collect", "internal/prefetch"}, foreign: []string{"github.com/klauspost/compress", "github.com/zeebo/blake3"}},
	"plan":                {own: []string{"."}, foreign: []string{"github.com/zeebo/blake3"}},
	"store":               {own: []string{".", "internal/durable", "internal/failpoint"}, foreign: []string{"go.etcd.io/bbolt", "golang.org/x/sys"}},
	"lineage":             {own: []string{".", "plan", "store"}},
	"worker":              {own: []string{".", "collect", "input", "run", "plan", "internal/childproto", "internal/failpoint"}, foreign: []string{"github.com/zeebo/blake3", "golang.org/x/sys"}},
	"engine":              {own: []string{".", "collect", "input", "plan", "run", "lineage", "store", "internal/durable", "internal/failpoint"}, foreign: []string{"golang.org/x/sync", "golang.org/x/sys"}},
	"builtin":             {own: []string{".", "collect", "internal/dfa", "internal/prefetch", "internal/words"}},
	"rpcsvc":              {own: []string{".", "clock", "plan"}, foreign: []string{"golang.org/x/sys"}},
	"internal/local":      {own: []string{".", "internal/durable", "internal/failpoint", "builtin", "engine", "store", "worker"}, foreign: []string{"golang.org/x/sys"}},
	"mrtest":              {own: []string{".", "engine", "store", "internal/local"}},
}

// The edges of programs and examples are free.
var free = []string{"cmd/", "examples/", "bench/", "robustness", "internal/local"}

func TestImportsPointDown(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		checkImports(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImports(t *testing.T, path string) {
	pkg := filepath.ToSlash(filepath.Dir(path))
	for _, f := range free {
		if strings.HasPrefix(pkg+"/", f) {
			return
		}
	}
	layer, known := layers[pkg]
	if !known && !strings.HasSuffix(pkg, "test") {
		t.Errorf("package %s is not in the table of layers: say what it may import", pkg)
		return
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range file.Imports {
		name, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		switch own, isOwn := strings.CutPrefix(name+"/", module+"/"); {
		case isOwn:
			own = strings.TrimSuffix(own, "/")
			if own == "" {
				own = "."
			}
			if known && !slices.Contains(layer.own, own) {
				t.Errorf("%s imports %s, which package %s may not know", path, own, pkg)
			}
		case !strings.Contains(strings.SplitN(name, "/", 2)[0], "."): // the standard library
		case known && !slices.ContainsFunc(layer.foreign, func(m string) bool { return strings.HasPrefix(name, m) }):
			t.Errorf("%s imports %s, which package %s has no reason to know", path, name, pkg)
		}
	}
}
