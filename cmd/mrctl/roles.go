package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A role's binary holds one stage without the other, and still differs when the other is edited: a new
// string constant or import moves symbols that the linker keeps, and lines above a function change its
// line table. So the role is built of sources in which that cannot be seen (go build -overlay):
//
//   - The body of a function that only the dropped options are given (mr.Reduce in the role of the
//     mapper) is replaced by a panic, and of one that only makes such functions by a return of nil.
//     Functions that nothing else refers to go, too.
//   - An import that is not used then is dropped if other packages of the program import it all the
//     same, so that it is initialised as before; else it becomes a blank import.
//   - Lines count from the beginning of each declaration: main.go, func words:3.
//   - What a body that was replaced refers to, directly or not, of the package's variables stays referred to:
//     the order in which they are initialised depends on it.
//
// What is executed is what was built of these sources, so a mistake here could not make a false hit; that
// the functions left are the author's own is what makes it right. Where the sources hold anything that is
// not understood to the end, and where they don't build, the role is built as it stands.

const module = "github.com/mrd-io/mr"

// dropped are the options that a role is built without.
func dropped(tag string) []string {
	if tag == "mr_map" {
		return []string{"Reduce", "ReduceFrom", "ReducePairs"}
	}
	return []string{"Map", "MapFrom", "MapBlock", "MapBlocksFrom", "MapSpans"}
}

// listedPackage is what go list says of a package.
type listedPackage struct {
	ImportPath, Name, Dir string
	DepOnly               bool
	Imports, GoFiles      []string
	CgoFiles, CFiles      []string
	SFiles, SysoFiles     []string
	EmbedPatterns         []string
	ImportMap             map[string]string
}

// roleSources are the sources of a main package, on their way to a role's.
type roleSources struct {
	fset     *token.FileSet
	files    []*roleFile
	packages map[string]*listedPackage
	dropped  []string
	funcs    map[string]*roleFunc  // that may turn out to be of no use here
	bodies   map[string][]ast.Node // of functions, by name
	methods  map[string][]ast.Node // and of methods
	vars     map[string]bool       // of the package, that are initialised
	unclear  bool                  // what a body that is replaced refers to can't be made out
}

// roleFunc is a function of the package.
type roleFunc struct {
	decl  *ast.FuncDecl
	file  *roleFile
	live  bool // something in this role refers to it
	given bool // a dropped option is given it
	makes bool // a dropped option is given what it returns, and nobody can tell what that is
}

type roleFile struct {
	path  string
	text  []byte
	ast   *ast.File
	mr    string                // what the file calls this module's package; "": nothing
	used  map[string]bool       // what the file calls packages that this role needs
	apart map[string]bool       // variables that a body has to refer to where another has their name
	stubs map[*ast.FuncLit]bool // literals that dropped options are given
}

// overlay writes the role's sources into dir, and returns the file that names them for go build; "" if
// the role has to be built as it stands.
func (t goTarget) overlay(ctx context.Context, tag, dir string) string {
	under, ok := t.ownOverlay()
	if !ok {
		return ""
	}
	packages, main := t.list(ctx, tag)
	if main == nil {
		return ""
	}
	r := &roleSources{
		fset: token.NewFileSet(), packages: packages, dropped: dropped(tag),
		funcs: map[string]*roleFunc{},
	}
	for _, name := range main.GoFiles {
		path := filepath.Join(main.Dir, name)
		text, err := os.ReadFile(orElse(under[path], path))
		if err != nil || !r.add(path, text) {
			return ""
		}
	}
	r.findLive()
	replace := map[string]string{}
	for path, by := range under {
		replace[path] = by
	}
	for i, f := range r.files {
		text, ok := r.rewrite(f)
		to := filepath.Join(dir, fmt.Sprintf("%s-%d.go", tag, i))
		if !ok || os.WriteFile(to, text, 0o600) != nil {
			return ""
		}
		replace[f.path] = to
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	to := filepath.Join(dir, tag+".json")
	if err != nil || os.WriteFile(to, b, 0o600) != nil {
		return ""
	}
	return to
}

// ownOverlay returns what the overlay that the user's GOFLAGS name replaces: one on the command line takes
// its place.
func (t goTarget) ownOverlay() (under map[string]string, ok bool) {
	path := t.own.overlay
	if t.own.opaque || path == "" {
		return nil, !t.own.opaque
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.dir, path)
	}
	var o struct{ Replace map[string]string }
	b, err := os.ReadFile(path)
	return o.Replace, err == nil && json.Unmarshal(b, &o) == nil
}

// list returns the packages of the program by import path, and its own; nil if its sources are more than
// Go files.
func (t goTarget) list(ctx context.Context, tag string) (packages map[string]*listedPackage, main *listedPackage) {
	cmd := exec.CommandContext(ctx, t.tool, "list", "-deps", t.tags(tag),
		"-json=ImportPath,Name,Dir,DepOnly,Imports,GoFiles,CgoFiles,CFiles,SFiles,SysoFiles,EmbedPatterns,ImportMap", t.arg)
	cmd.Dir = t.dir
	out, err := cmd.Output()
	if err != nil {
		return nil, nil // the build will say why
	}
	packages = map[string]*listedPackage{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listedPackage)
		if err := d.Decode(p); err == io.EOF {
			break
		} else if err != nil {
			return nil, nil
		}
		packages[p.ImportPath] = p
		if !p.DepOnly {
			if main != nil {
				return nil, nil
			}
			main = p
		}
	}
	if main == nil || main.Name != "main" ||
		len(main.CgoFiles)+len(main.CFiles)+len(main.SFiles)+len(main.SysoFiles)+len(main.EmbedPatterns)+len(main.ImportMap) > 0 {
		return nil, nil
	}
	return packages, main
}

// add parses a file, and refuses what can't be rewritten with confidence.
func (r *roleSources) add(path string, text []byte) bool {
	file, err := parser.ParseFile(r.fset, path, text, parser.ParseComments)
	if err != nil {
		return false
	}
	for _, group := range file.Comments {
		for _, c := range group.List {
			directive := strings.HasPrefix(c.Text, "//go:") && !strings.HasPrefix(c.Text, "//go:build") && !strings.HasPrefix(c.Text, "//go:generate")
			if directive || strings.HasPrefix(c.Text, "//line") || strings.HasPrefix(c.Text, "/*line") || strings.HasPrefix(c.Text, "//export") {
				return false
			}
		}
	}
	f := &roleFile{path: path, text: text, ast: file, used: map[string]bool{}, apart: map[string]bool{}, stubs: map[*ast.FuncLit]bool{}}
	for _, s := range file.Imports {
		name := r.nameOf(s)
		if name == "" || name == "." {
			return false
		}
		if importPath(s) == module {
			f.mr = name
		}
	}
	for _, d := range file.Decls {
		r.note(d)
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Body != nil && fn.Name.Name != "main" && fn.Name.Name != "init" {
			r.funcs[fn.Name.Name] = &roleFunc{decl: fn, file: f}
		}
	}
	r.files = append(r.files, f)
	return true
}

// note keeps what the order of initialisation depends on.
func (r *roleSources) note(d ast.Decl) {
	if r.bodies == nil {
		r.bodies, r.methods, r.vars = map[string][]ast.Node{}, map[string][]ast.Node{}, map[string]bool{}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		switch {
		case d.Body == nil:
		case d.Recv != nil:
			r.methods[d.Name.Name] = append(r.methods[d.Name.Name], d.Body)
		default:
			r.bodies[d.Name.Name] = append(r.bodies[d.Name.Name], d.Body)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR && len(v.Values) > 0 {
				for _, name := range v.Names {
					r.vars[name.Name] = name.Name != "_"
				}
			}
		}
	}
}

// variables are the initialised variables of the package that a body refers to, directly or by
// functions, in the order of their names. Of methods the names alone decide, as in findLive.
func (r *roleSources) variables(body ast.Node) (names []string) {
	seen, called := map[string]bool{}, map[string]bool{}
	var visit func(ast.Node)
	all := func(bodies []ast.Node) {
		for _, b := range bodies {
			visit(b)
		}
	}
	visit = func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr: // a method, or a field, or what another package has
				visit(n.X)
				if !called[n.Sel.Name] {
					called[n.Sel.Name] = true
					all(r.methods[n.Sel.Name])
				}
				return false
			case *ast.CompositeLit:
				fields, known := r.namesFields(n.Type)
				if known && !fields {
					visit(n.Type)
				}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						id, isName := kv.Key.(*ast.Ident)
						switch {
						case !isName || known && !fields:
							visit(kv.Key)
						case !known && r.vars[id.Name] && !r.local(id):
							r.unclear = true
						}
						e = kv.Value
					}
					visit(e)
				}
				return false
			case *ast.Ident:
				if seen[n.Name] || r.local(n) {
					return true
				}
				seen[n.Name] = true
				if r.vars[n.Name] {
					names = append(names, n.Name)
				}
				all(r.bodies[n.Name])
			}
			return true
		})
	}
	visit(body)
	slices.Sort(names)
	return names
}

// namesFields reports whether names that are keys in a literal of type t are names of fields; known is
// false where the sources don't tell, as of a type that is left out or another package's.
func (r *roleSources) namesFields(t ast.Expr) (fields, known bool) {
	for range mostSilent { // types that are each other don't compile
		switch n := t.(type) {
		case *ast.StructType:
			return true, true
		case *ast.MapType, *ast.ArrayType:
			return false, true
		case *ast.IndexExpr:
			t = n.X
		case *ast.IndexListExpr:
			t = n.X
		case *ast.Ident:
			spec := r.typeNamed(n)
			if spec == nil {
				return false, false
			}
			t = spec.Type
		default:
			return false, false
		}
	}
	return false, false
}

// typeNamed is the declaration of a type, nil if the package has none of that name.
func (r *roleSources) typeNamed(id *ast.Ident) *ast.TypeSpec {
	obj := id.Obj
	for i := 0; obj == nil && i < len(r.files); i++ {
		obj = r.files[i].ast.Scope.Lookup(id.Name)
	}
	if obj == nil {
		return nil
	}
	spec, _ := obj.Decl.(*ast.TypeSpec)
	return spec
}

// local reports whether a name is that of something declared in a function.
func (r *roleSources) local(id *ast.Ident) bool {
	return id.Obj != nil && !slices.ContainsFunc(r.files, func(f *roleFile) bool { return f.ast.Scope.Lookup(id.Name) == id.Obj })
}

func importPath(s *ast.ImportSpec) string { return strings.Trim(s.Path.Value, "\"`") }

// nameOf is what a file calls a package; "" if that isn't known.
func (r *roleSources) nameOf(s *ast.ImportSpec) string {
	if s.Name != nil {
		return s.Name.Name
	}
	if p := r.packages[importPath(s)]; p != nil {
		return p.Name
	}
	return ""
}

// findLive finds the functions that something in this role refers to, by name alone: whatever has a
// function's name counts as a reference to it.
func (r *roleSources) findLive() {
	for _, f := range r.files {
		for _, d := range f.ast.Decls {
			if r.function(d) == nil {
				r.visit(f, d)
			}
		}
	}
	visited := map[*roleFunc]bool{}
	for more := true; more; {
		more = false
		for _, fn := range r.funcs {
			if fn.live && !visited[fn] {
				visited[fn], more = true, true
				r.visit(fn.file, fn.decl.Type)
				r.visit(fn.file, fn.decl.Body)
			}
		}
	}
	for _, fn := range r.funcs {
		if (fn.given || fn.makes) && !fn.live { // its signature is left
			r.visit(fn.file, fn.decl.Type)
		}
	}
}

// function is what is known of a declaration, if it is one of those functions.
func (r *roleSources) function(d ast.Decl) *roleFunc {
	if decl, ok := d.(*ast.FuncDecl); ok {
		if fn := r.funcs[decl.Name.Name]; fn != nil && fn.decl == decl {
			return fn
		}
	}
	return nil
}

// visit notes what a live piece of a file refers to.
func (r *roleSources) visit(f *roleFile, n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			return r.call(f, n)
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil {
				f.used[x.Name] = true
			}
		case *ast.Ident:
			if fn := r.funcs[n.Name]; fn != nil {
				fn.live = true
			}
		}
		return true
	})
}

// call handles a call of an option that this role drops; false if it was one.
func (r *roleSources) call(f *roleFile, c *ast.CallExpr) bool {
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok || f.mr == "" || len(c.Args) != 1 || !slices.Contains(r.dropped, s.Sel.Name) {
		return true
	}
	if x, ok := s.X.(*ast.Ident); !ok || x.Name != f.mr || x.Obj != nil {
		return true
	}
	switch arg := c.Args[0].(type) {
	case *ast.FuncLit:
		f.stubs[arg] = true
		r.visit(f, arg.Type)
	case *ast.Ident:
		fn := r.funcs[arg.Name]
		if fn == nil || arg.Obj != nil && arg.Obj.Decl != fn.decl {
			return true
		}
		fn.given = true
	case *ast.CallExpr:
		id, ok := arg.Fun.(*ast.Ident)
		if !ok || !r.silent(arg, 0) {
			return true
		}
		r.funcs[id.Name].makes = true
		for _, a := range arg.Args {
			r.visit(f, a)
		}
	default:
		return true
	}
	f.used[f.mr] = true
	return false
}

// mostSilent bounds how deep calls are followed.
const mostSilent = 8

// silent reports whether evaluating an expression can have no effect and cannot fail, because it makes
// functions of functions and nothing else.
func (r *roleSources) silent(e ast.Expr, depth int) bool {
	switch e := e.(type) {
	case *ast.FuncLit, *ast.Ident, *ast.BasicLit:
		return true
	case *ast.CallExpr:
		id, ok := e.Fun.(*ast.Ident)
		if !ok || depth > mostSilent {
			return false
		}
		fn := r.funcs[id.Name]
		if fn == nil || id.Obj != nil && id.Obj.Decl != fn.decl || len(fn.decl.Body.List) != 1 || slices.ContainsFunc(e.Args, func(a ast.Expr) bool { return !r.silent(a, depth+1) }) {
			return false
		}
		ret, ok := fn.decl.Body.List[0].(*ast.ReturnStmt)
		return ok && len(ret.Results) == 1 && r.silent(ret.Results[0], depth+1)
	}
	return false
}
