// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
)

const redacted = "[REDACTED]"

var wholeWord = regexp.MustCompile(`^\w.*\w$|^\w$`)

// redactor takes the secrets of a component out of texts that others wrote, such as the errors of types that read themselves.
type redactor []*regexp.Regexp

func newRedactor(root cursor) redactor {
	var secrets []string
	root.secrets(&secrets, maxDepth)
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) }) // one may hold another
	var r redactor
	for _, secret := range slices.Compact(secrets) {
		pattern := regexp.QuoteMeta(secret)
		if len(secret) < 4 && wholeWord.MatchString(secret) { // nobody could read a text without all its a's
			pattern = `\b` + pattern + `\b`
		}
		r = append(r, regexp.MustCompile(pattern))
	}
	return r
}

func (r redactor) from(text string) string {
	for _, secret := range r {
		text = secret.ReplaceAllLiteralString(text, redacted)
	}
	return text
}

// secrets adds every scalar that is written at or below a place for a secret.
func (c cursor) secrets(to *[]string, depth int) {
	typ, _ := unwrap(c.typ)
	if typ == nil || c.raw == nil || depth == 0 {
		return
	}
	if isOpaque(typ) {
		scalars(c.raw, to)
		return
	}
	switch typ.Kind() {
	case reflect.Struct:
		written, _ := c.raw.(map[string]any)
		for _, f := range fieldsOf(typ).fields {
			cursor{typ: f.typ, raw: written[f.name]}.secrets(to, depth-1)
		}
	case reflect.Map, reflect.Slice, reflect.Array:
		switch raw := c.raw.(type) {
		case map[string]any:
			for _, v := range raw {
				cursor{typ: elemOf(typ, true), raw: v}.secrets(to, depth-1)
			}
		case []any:
			for _, v := range raw {
				cursor{typ: typ.Elem(), raw: v}.secrets(to, depth-1)
			}
		}
	}
}

func scalars(raw any, to *[]string) {
	switch raw := raw.(type) {
	case nil:
	case map[string]any:
		for _, v := range raw {
			scalars(v, to)
		}
	case []any:
		for _, v := range raw {
			scalars(v, to)
		}
	default:
		if text := fmt.Sprint(raw); text != "" {
			*to = append(*to, text)
		}
	}
}
