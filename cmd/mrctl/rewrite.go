package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

const stubBody = `panic("mr: built for another role")`

// rewrite makes the role's version of a file.
func (r *roleSources) rewrite(f *roleFile) ([]byte, bool) {
	var out bytes.Buffer
	if f.ast.GoVersion != "" { // of its build constraint: the language that the file is written in
		fmt.Fprintf(&out, "//go:build %s\n\n", f.ast.GoVersion)
	}
	fmt.Fprintf(&out, "package %s\n", f.ast.Name.Name)
	for _, line := range r.imports(f) {
		out.WriteString(line + "\n")
	}
	for _, d := range f.ast.Decls {
		label := ""
		switch d := d.(type) {
		case *ast.GenDecl:
			if d.Tok == token.IMPORT {
				continue
			}
			label = d.Tok.String()
			if len(d.Specs) > 0 {
				label += " " + specName(d.Specs[0])
			}
		case *ast.FuncDecl:
			if fn := r.function(d); fn != nil && !fn.live && !fn.given && !fn.makes {
				continue
			}
			label = "func " + d.Name.Name
		default:
			return nil, false
		}
		r.declaration(&out, f, d, filepath.Base(f.path)+", "+label)
	}
	for _, name := range slices.Sorted(maps.Keys(f.apart)) {
		fmt.Fprintf(&out, "//line %s:1\nfunc %s() { _ = %s }\n", filepath.Base(f.path), apart(f, name), name)
	}
	return out.Bytes(), !r.unclear
}

func specName(s ast.Spec) string {
	switch s := s.(type) {
	case *ast.ValueSpec:
		return s.Names[0].Name
	case *ast.TypeSpec:
		return s.Name.Name
	}
	return ""
}

// declaration writes one declaration, with lines of its own. Its text is the author's, but for bodies that
// are replaced.
func (r *roleSources) declaration(out *bytes.Buffer, f *roleFile, d ast.Decl, label string) {
	fmt.Fprintf(out, "//line %s:1\n", label)
	at := r.offset(d.Pos())
	replace := func(body *ast.BlockStmt, by, then string) {
		out.Write(f.text[at:r.offset(body.Lbrace)])
		out.WriteString("{ " + by + " }" + then)
		at = r.offset(body.Rbrace) + 1
	}
	if fn := r.function(d); fn != nil && !fn.live {
		body := stubBody
		if fn.makes {
			body = "return nil"
		}
		replace(fn.decl.Body, r.initialised(f, fn.decl.Body, fn.decl)+body, "")
	} else {
		n := 0
		ast.Inspect(d, func(node ast.Node) bool {
			lit, ok := node.(*ast.FuncLit)
			if !ok || !f.stubs[lit] {
				return true
			}
			n++ // lines of what follows count from here: the body may have had any number
			replace(lit.Body, captured(f, lit)+r.initialised(f, lit.Body, d)+stubBody, fmt.Sprintf("/*line %s, part %d:1:1*/", label, n+1))
			return false
		})
	}
	out.Write(f.text[at:r.offset(d.End())])
	out.WriteString("\n")
}

func (r *roleSources) offset(p token.Pos) int { return r.fset.Position(p).Offset }

// initialised refers to the package's variables that a body depended on: by a function of their own to those
// whose names mean something else somewhere in the declaration that the body is in.
func (r *roleSources) initialised(f *roleFile, body, in ast.Node) string {
	local := map[string]bool{}
	ast.Inspect(in, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && r.local(id) {
			local[id.Name] = true
		}
		return true
	})
	var b strings.Builder
	for _, name := range r.variables(body) {
		if local[name] {
			f.apart[name] = true
			b.WriteString(apart(f, name) + "(); ")
		} else {
			b.WriteString("_ = " + name + "; ")
		}
	}
	return b.String()
}

// apart is the name of the function that refers to a variable. Each file has its own, whatever other files
// there are.
func apart(f *roleFile, name string) string {
	return fmt.Sprintf("mr_%x_%s", filepath.Base(f.path), name)
}

// captured uses the local variables that a function's body used and others declared: unused ones don't
// compile.
func captured(f *roleFile, lit *ast.FuncLit) string {
	var names []string
	ast.Inspect(lit.Body, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		if !ok || id.Obj == nil || id.Obj.Kind != ast.Var || id.Name == "_" || f.ast.Scope.Lookup(id.Name) == id.Obj {
			return true
		}
		if p := id.Obj.Pos(); p < lit.Pos() || p >= lit.End() {
			names = append(names, id.Name)
		}
		return true
	})
	slices.Sort(names)
	var b strings.Builder
	for _, name := range slices.Compact(names) {
		b.WriteString("_ = " + name + "; ")
	}
	return b.String()
}

// imports are the import declarations of a file, each on a line and in the order of their paths, so that
// the author's order and lines don't matter.
func (r *roleSources) imports(f *roleFile) (lines []string) {
	reached := map[string]bool{}
	for _, of := range r.files {
		for _, s := range of.ast.Imports {
			if r.keeps(of, s) {
				r.reach(importPath(s), reached)
			}
		}
	}
	for _, s := range f.ast.Imports {
		switch {
		case r.keeps(f, s) && s.Name != nil:
			lines = append(lines, fmt.Sprintf("import %s %s", s.Name.Name, s.Path.Value))
		case r.keeps(f, s):
			lines = append(lines, "import "+s.Path.Value)
		case !reached[importPath(s)] && !r.idle(importPath(s), reached):
			lines = append(lines, "import _ "+s.Path.Value)
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// keeps reports whether a file still needs an import as it is.
func (r *roleSources) keeps(f *roleFile, s *ast.ImportSpec) bool {
	name := r.nameOf(s)
	return name == "_" || f.used[name]
}

// reach adds a package and all that it imports.
func (r *roleSources) reach(path string, reached map[string]bool) {
	if reached[path] {
		return
	}
	reached[path] = true
	if p := r.packages[path]; p != nil {
		for _, i := range p.Imports {
			r.reach(i, reached)
		}
	}
}

// idle reports whether a package and what it imports beyond reached have nothing to initialise: then nobody
// can tell whether they are there.
func (r *roleSources) idle(path string, reached map[string]bool) bool {
	p := r.packages[path]
	if reached[path] || path == "unsafe" {
		return true
	}
	if p == nil || len(p.CgoFiles) > 0 {
		return false
	}
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil || slices.ContainsFunc(file.Decls, initialises) {
			return false
		}
	}
	for _, i := range p.Imports {
		if !r.idle(i, reached) {
			return false
		}
	}
	return true
}

func initialises(d ast.Decl) bool {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return d.Recv == nil && d.Name.Name == "init"
	case *ast.GenDecl:
		return d.Tok == token.VAR && slices.ContainsFunc(d.Specs, func(s ast.Spec) bool { return len(s.(*ast.ValueSpec).Values) > 0 })
	}
	return false
}
