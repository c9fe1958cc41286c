// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"reflect"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
)

const (
	optionalPackage = "go.opentelemetry.io/collector/config/configoptional"
	opaquePackage   = "go.opentelemetry.io/collector/config/configopaque"
	// enabledKey is read by Optional itself.
	enabledKey = "enabled"
	// maxDepth ends the walk through types that hold themselves.
	maxDepth = 8
)

// field is a key of a struct.
type field struct {
	name string
	typ  reflect.Type
}

// structKeys are the keys of a struct, in the order of its declaration.
type structKeys struct {
	fields []field
	// squashed are the names under which validators know the structs whose keys are written one level higher.
	squashed []string
}

// fieldsOf lists the keys that the decoder takes for a struct: tags, squash and untagged fields as it reads them.
func fieldsOf(t reflect.Type) structKeys {
	var keys structKeys
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get(confmap.MapstructureTag), ",")
		option := strings.Split(options, ",")
		switch {
		case !f.IsExported() || name == "-" || slices.Contains(option, "remain"):
		case slices.Contains(option, "squash"):
			if inner, _ := unwrap(f.Type); inner.Kind() == reflect.Struct {
				below := fieldsOf(inner)
				keys.fields = append(keys.fields, below.fields...)
				keys.squashed = append(append(keys.squashed, strings.ToLower(f.Name)), below.squashed...)
			}
		default:
			if name == "" {
				name = f.Name
			}
			keys.fields = append(keys.fields, field{name, f.Type})
		}
	}
	return keys
}

// allowedKeys are the names that can be written below a place of this type; none when that is any name, or no name.
func allowedKeys(t reflect.Type) []string {
	inner, optional := unwrap(t)
	if inner == nil || inner.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for _, f := range fieldsOf(inner).fields {
		if !slices.Contains(names, f.name) {
			names = append(names, f.name)
		}
	}
	if optional && !slices.Contains(names, enabledKey) {
		names = append(names, enabledKey)
	}
	return names
}

// unwrap looks through pointers and configoptional.Optional.
func unwrap(t reflect.Type) (inner reflect.Type, optional bool) {
	for t != nil {
		switch {
		case t.Kind() == reflect.Pointer:
			t = t.Elem()
			continue
		case t.Kind() == reflect.Struct && t.PkgPath() == optionalPackage && strings.HasPrefix(t.Name(), "Optional["):
			value, ok := t.FieldByName("value")
			if !ok {
				return nil, true
			}
			t, optional = value.Type, true
			continue
		}
		return t, optional
	}
	return nil, optional
}

// isOpaque reports whether values of the type are secrets.
func isOpaque(t reflect.Type) bool {
	return t != nil && t.PkgPath() == opaquePackage && t.Kind() == reflect.String
}

// isMapList reports whether t is configopaque.MapList, a list of names and secrets that can be written as a map, too.
func isMapList(t reflect.Type) bool { return t.PkgPath() == opaquePackage && t.Kind() == reflect.Slice }

// elemOf is the type of what is in a list or a map.
func elemOf(t reflect.Type, writtenAsMap bool) reflect.Type {
	if writtenAsMap && isMapList(t) {
		return reflect.TypeFor[configopaque.String]()
	}
	return t.Elem()
}

// pathsOf lists the paths below t, relative to it, that end with the key.
func pathsOf(t reflect.Type, key string, depth int) []string {
	inner, _ := unwrap(t)
	if inner == nil || inner.Kind() != reflect.Struct || depth == 0 {
		return nil
	}
	var found []string
	for _, f := range fieldsOf(inner).fields {
		if f.name == key {
			found = append(found, key)
		}
		for _, below := range pathsOf(f.typ, key, depth-1) {
			found = append(found, f.name+confmap.KeyDelimiter+below)
		}
	}
	return found
}
