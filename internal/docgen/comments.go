// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
)

const module = "github.com/tailrace/tailrace"

// comments holds the doc comments of structs, read from the sources of their packages.
type comments struct {
	root     string
	packages map[string]map[string]structComments // by import path and name of the type
	keys     map[string]map[string]string         // by import path: what fields of any of its structs are called in YAML
	tests    bool                                 // read the structs of test files, too
}

func newComments(root string) *comments {
	return &comments{root: root, packages: map[string]map[string]structComments{}, keys: map[string]map[string]string{}}
}

type structComments struct {
	doc    string
	fields map[string]string // by the field's Go name
}

func own(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// of returns the comments of a type.
func (c *comments) of(t reflect.Type) (structComments, error) {
	path := t.PkgPath()
	if c.packages[path] == nil {
		dir := filepath.Join(c.root, strings.TrimPrefix(path, module))
		if !own(path) {
			p, err := build.Import(path, c.root, build.FindOnly)
			if err != nil {
				return structComments{}, err
			}
			dir = p.Dir
		}
		parsed, keys, err := c.parse(dir)
		if err != nil {
			return structComments{}, err
		}
		c.packages[path], c.keys[path] = parsed, keys
	}
	s, ok := c.packages[path][t.Name()]
	if !ok {
		return s, fmt.Errorf("%s: no struct %s in its sources", path, t.Name())
	}
	c.lend(path, s)
	return s, nil
}

// lend gives fields without a comment those of a struct that the comment of theirs names: "has the keys of Config that …".
func (c *comments) lend(path string, s structComments) {
	for name, field := range s.fields {
		for other, lender := range c.packages[path] {
			if field == "" && names(s.doc, other) && lender.fields[name] != "" {
				s.fields[name] = lender.fields[name]
			}
		}
	}
}

func (c *comments) parse(dir string) (all map[string]structComments, keys map[string]string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	all, keys = map[string]structComments{}, map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") && !c.tests {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return nil, nil, err
		}
		for _, decl := range file.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if st, ok := ts.Type.(*ast.StructType); ok {
					addKeys(keys, st)
					doc := ts.Doc
					if doc == nil {
						doc = general.Doc
					}
					all[ts.Name.Name] = structComments{text(doc), fieldComments(st)}
				}
			}
		}
	}
	return all, keys, nil
}

// addKeys leaves out names that are also words.
func addKeys(keys map[string]string, st *ast.StructType) {
	for _, f := range st.Fields.List {
		if f.Tag == nil {
			continue
		}
		key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("mapstructure"), ",")
		for _, name := range f.Names {
			if key != "" && twoWords.MatchString(name.Name) {
				keys[name.Name] = key
			}
		}
	}
}

var twoWords = regexp.MustCompile(`[a-z][A-Z]`)

// fieldComments gives a field without a comment that of the one above it, if that names it: "MaxRows and MaxBytes …".
func fieldComments(st *ast.StructType) map[string]string {
	fields := map[string]string{}
	above := ""
	for _, f := range st.Fields.List {
		doc := text(f.Doc)
		if doc == "" {
			doc = text(f.Comment)
		}
		for _, name := range f.Names {
			if doc == "" && names(above, name.Name) {
				doc = above
			}
			fields[name.Name] = doc
		}
		if doc != "" {
			above = doc
		}
	}
	return fields
}

func text(group *ast.CommentGroup) string { return strings.Join(strings.Fields(group.Text()), " ") }

func names(sentence, word string) bool {
	return regexp.MustCompile(`\b` + regexp.QuoteMeta(word) + `\b`).MatchString(sentence)
}
