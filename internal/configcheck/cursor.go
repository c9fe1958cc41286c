// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"reflect"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// cursor is a place in a component's section: the Go type it is decoded into, and what the user wrote there.
type cursor struct {
	typ reflect.Type // as it is declared, pointers and optionals included; nil is unknown
	raw any          // nil when nothing is written there
	at  path
	// hide takes the component's secrets out of what others say about it.
	hide redactor
}

// configType is the type behind the interface that a factory returns.
func configType(cfg any) reflect.Type { return reflect.TypeOf(cfg) }

// resolve follows a name as decoders and Validate methods write it: `rotation.max_bytes`, `rotation::max_bytes`,
// `servers[1].command`, `servers::1::command`, `env[KEY]`. It is false when any part of the name is no place in the type.
func (c cursor) resolve(name string) (cursor, bool) {
	for name != "" {
		next, rest, ok := c.step(name)
		if !ok {
			return c, false
		}
		c, name = next, rest
	}
	return c, true
}

// step follows the first part of name, and returns what is left of it.
func (c cursor) step(name string) (next cursor, rest string, ok bool) {
	name = strings.TrimPrefix(strings.TrimPrefix(name, confmap.KeyDelimiter), ".")
	inner, _ := unwrap(c.typ)
	if inner == nil {
		return c, "", false
	}
	written, isMap := c.raw.(map[string]any)
	switch {
	case inner.Kind() == reflect.Struct:
		s := fieldsOf(inner)
		best := -1
		for i, f := range s.fields {
			if after, ok := cutKey(name, f.name); ok && (best < 0 || len(f.name) > len(s.fields[best].name)) {
				best, rest = i, after
			}
		}
		if best >= 0 {
			f := s.fields[best]
			return c.below(f.name, f.typ, written[f.name]), rest, true
		}
		// The path of a validator names a squashed struct too, which no one writes.
		for _, squashed := range s.squashed {
			if after, ok := cutKey(name, squashed); ok {
				return c, after, true
			}
		}
	case inner.Kind() == reflect.Map, isMap && isMapList(inner):
		return c.stepIntoMap(elemOf(inner, isMap), written, name)
	case inner.Kind() == reflect.Slice, inner.Kind() == reflect.Array:
		digits, bracket := strings.CutPrefix(name, "[")
		end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
		if end < 0 {
			end = len(digits)
		}
		i, err := strconv.Atoi(digits[:end])
		if rest = digits[end:]; bracket {
			rest, ok = strings.CutPrefix(rest, "]")
		} else {
			ok = boundary(rest)
		}
		if err != nil || !ok {
			return c, "", false
		}
		var raw any
		if list, _ := c.raw.([]any); i < len(list) {
			raw = list[i]
		}
		return c.below(i, inner.Elem(), raw), rest, true
	}
	return c, "", false
}

// stepIntoMap only follows keys that the user wrote: any text could be a key.
func (c cursor) stepIntoMap(elem reflect.Type, written map[string]any, name string) (cursor, string, bool) {
	best, rest, found := "", "", false
	for key := range written {
		after, ok := strings.CutPrefix(name, "["+key+"]")
		if !ok {
			after, ok = cutKey(name, key)
		}
		if ok && (!found || len(key) > len(best)) {
			best, rest, found = key, after, true
		}
	}
	return c.below(best, elem, written[best]), rest, found
}

func (c cursor) below(step any, typ reflect.Type, raw any) cursor {
	return cursor{typ: typ, raw: raw, at: c.at.to(step), hide: c.hide}
}

func cutKey(name, key string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, key)
	return rest, ok && key != "" && boundary(rest)
}

func boundary(rest string) bool {
	return rest == "" || strings.HasPrefix(rest, ".") || strings.HasPrefix(rest, "[") || strings.HasPrefix(rest, confmap.KeyDelimiter)
}
