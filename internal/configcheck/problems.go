// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

const (
	unknownKeys = "has invalid keys: "
	// kindMismatch begins the text of the decoder for a value of the wrong kind.
	kindMismatch = "expected type "
)

// mismatches begin what the decoder says about a value of the wrong kind. Everything else comes from a type that reads itself,
// and says what it takes.
var mismatches = []string{kindMismatch, "cannot parse value as ", "source data must be an array or slice", "expected a map or struct", "needs a map with string keys"}

// decodeProblems turns the error of decoding c into one problem for each key.
func (c cursor) decodeProblems(err error) []problem {
	// The tree is walked by hand, as errors.As would only find the first leaf.
	switch e := any(err).(type) {
	case interface {
		Name() string
		Unwrap() error
	}: // mapstructure's DecodeError
		next, ok := c.resolve(e.Name())
		if !ok { // a type's name, in front of the unknown keys of a section of its own; or a place that reflection does not see
			next = c
		}
		return next.decodeProblems(e.Unwrap())
	case interface{ Unwrap() []error }:
		var all []problem
		for _, one := range e.Unwrap() {
			all = append(all, c.decodeProblems(one)...)
		}
		return all
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && isTree(inner) {
			return c.decodeProblems(inner)
		}
	}
	if keys, ok := strings.CutPrefix(err.Error(), unknownKeys); ok {
		return c.unknownKeys(strings.Split(keys, ", "))
	}
	return []problem{{at: c.at, text: c.wrongValue(err.Error())}}
}

// isTree reports whether the decoder's errors for single keys are in err.
func isTree(err error) bool {
	var named interface{ Name() string }
	var several interface{ Unwrap() []error }
	return errors.As(err, &named) || errors.As(err, &several)
}

// unknownKeys writes a problem for each key that is not allowed below c; named is the decoder's own list of them.
func (c cursor) unknownKeys(named []string) []problem {
	allowed := allowedKeys(c.typ)
	if written, ok := c.raw.(map[string]any); ok && len(allowed) > 0 {
		var unknown []string
		for key := range written { // a key may hold a comma
			if !slices.Contains(allowed, key) {
				unknown = append(unknown, key)
			}
		}
		if len(unknown) > 0 {
			named = unknown
		}
	}
	problems := make([]problem, 0, len(named))
	for _, key := range named {
		p := problem{at: c.at.to(key), text: "unknown key"}
		if len(allowed) > 0 {
			p.text += "; allowed: " + strings.Join(allowed, ", ")
		}
		if meant := c.meant(key, allowed); meant != "" {
			p.text += fmt.Sprintf(" (did you mean %q?)", meant)
			if place, ok := c.resolve(meant); ok && place.raw == nil {
				p.meant = place.at
			}
		}
		problems = append(problems, p)
	}
	return problems
}

// meant guesses which key was meant: one that is spelled nearly so, or the same one at the only place below where it is allowed.
func (c cursor) meant(key string, allowed []string) string {
	best, distance := "", max(1, len(key)/3)+1
	for _, name := range allowed {
		if d := editDistance(key, name); d < distance {
			best, distance = name, d
		}
	}
	if best == "" {
		if below := pathsOf(c.typ, key, maxDepth); len(below) == 1 {
			best = below[0]
		}
	}
	return best
}

var (
	durationType        = reflect.TypeFor[time.Duration]()
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// wrongValue says what is allowed at c, whose value the decoder refused with text.
func (c cursor) wrongValue(text string) string {
	foreign := c.hide.from(text)
	typ, _ := unwrap(c.typ)
	if typ == nil {
		return foreign
	}
	if typ == durationType {
		return c.shown() + " is not a duration; write one such as 10s or 250ms"
	}
	mismatch := slices.ContainsFunc(mismatches, func(m string) bool { return strings.HasPrefix(text, m) })
	if !mismatch {
		return foreign
	}
	if reflect.PointerTo(typ).Implements(textUnmarshalerType) && typ.Kind() == reflect.Struct {
		return c.shown() + " is not text"
	}
	switch typ.Kind() {
	case reflect.Bool:
		return c.shown() + " is not true or false; write one of them, without quotes"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return c.shown() + " is not a whole number; write one such as 100, without quotes"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return c.shown() + " is not a whole number from 0 on; write one such as 100, without quotes"
	case reflect.Float32, reflect.Float64:
		return c.shown() + " is not a number; write one such as 0.5, without quotes"
	case reflect.String:
		switch c.raw.(type) {
		case []any, map[string]any:
			return c.shown() + " is not text; write a single text"
		}
		return c.shown() + " is not text; write it in quotes"
	case reflect.Slice, reflect.Array:
		return c.shown() + " is not a list; write one such as [a, b]"
	case reflect.Map:
		return c.shown() + " is not a section of keys; write keys and values below it"
	case reflect.Struct:
		return c.shown() + " is not a section of keys; allowed below it: " + strings.Join(allowedKeys(c.typ), ", ")
	}
	return foreign
}

// maxShown bounds the part of a value that is repeated in a message.
const maxShown = 80

// shown writes the value, but only its kind when it is or may hold a secret.
func (c cursor) shown() string {
	typ, _ := unwrap(c.typ)
	kind := reflect.Invalid
	if typ != nil && !isOpaque(typ) {
		kind = typ.Kind()
	}
	scalar := kind == reflect.Bool || kind == reflect.String || kind >= reflect.Int && kind <= reflect.Float64
	switch raw := c.raw.(type) {
	case map[string]any:
		return "a section of keys"
	case []any:
		return "a list"
	case nil:
		return "the value"
	case string:
		if !scalar {
			return "a text"
		}
		if runes := []rune(raw); len(runes) > maxShown {
			raw = string(runes[:maxShown]) + "…"
		}
		return fmt.Sprintf("%q", raw)
	case bool:
		if !scalar {
			return "true or false"
		}
	default:
		if !scalar {
			return "a number"
		}
	}
	return fmt.Sprint(c.raw)
}

// validationProblems turns the error of a Validate into one problem for each of the errors joined in it.
func (c cursor) validationProblems(err error) []problem {
	var problems []problem
	for _, text := range leaves(err, "") {
		at := c
		for { // "rotation::max_age: 0s; allowed: …": what stands before the first colon may be a key
			head, rest, ok := strings.Cut(text, ": ")
			if !ok {
				break
			}
			next, ok := at.resolve(head)
			if !ok {
				break
			}
			at, text = next, rest
		}
		problems = append(problems, problem{at: at.at, text: c.hide.from(text)})
	}
	return problems
}

// leaves takes joined errors apart, and keeps what was written before them.
func leaves(err error, before string) []string {
	switch e := any(err).(type) {
	case nil:
		return nil
	case interface{ Unwrap() []error }:
		parts := e.Unwrap()
		texts := make([]string, len(parts))
		for i, part := range parts {
			texts[i] = part.Error()
		}
		if err.Error() != strings.Join(texts, "\n") {
			break // not just joined: its own words would get lost
		}
		var all []string
		for _, part := range parts {
			all = append(all, leaves(part, before)...)
		}
		return all
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			if own, ok := strings.CutSuffix(err.Error(), inner.Error()); ok {
				return leaves(inner, before+own)
			}
		}
	}
	return []string{before + err.Error()}
}

// editDistance is the number of letters to change, add or remove to make one of the other.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
