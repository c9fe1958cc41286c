// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package configcheck

import (
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// path leads to a place in the configuration: keys are strings, places in a list ints.
type path []any

// String writes the path as one writes it in a configuration: extensions::runner::servers[1]::command.
func (p path) String() string {
	var b strings.Builder
	for i, step := range p {
		switch step := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(step) + "]")
		case string:
			if i > 0 {
				b.WriteString(confmap.KeyDelimiter)
			}
			b.WriteString(step)
		}
	}
	return b.String()
}

// to returns the path one step further; p itself stays as it is.
func (p path) to(step any) path { return append(slices.Clip(p), step) }

// has reports whether p is at or below head.
func (p path) has(head path) bool { return len(p) >= len(head) && slices.Equal(p[:len(head)], head) }

// index returns where the first place in a list stands, or -1.
func (p path) index() int {
	return slices.IndexFunc(p, func(step any) bool { _, ok := step.(int); return ok })
}

func (p path) hasIndex() bool { return p.index() >= 0 }
