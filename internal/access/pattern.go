// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Pattern matches project ids: itself literally, except that each '*' stands for any run of characters, the empty one too.
// There is no escape: an id that contains '*' is matched by its pattern as well.
type Pattern string

// All matches every project.
const All Pattern = "*"

// MaxPatternBytes bounds a pattern.
const MaxPatternBytes = 512

// Validate says what is wrong with a pattern.
func (p Pattern) Validate() error {
	switch {
	case p == "":
		return errors.New("a project pattern must not be empty; `*` matches all projects")
	case len(p) > MaxPatternBytes:
		return fmt.Errorf("a project pattern is longer than %d bytes", MaxPatternBytes)
	case !utf8.ValidString(string(p)):
		return errors.New("a project pattern is not valid UTF-8")
	}
	return nil
}

// Literal reports whether the pattern matches just the id that it spells.
func (p Pattern) Literal() bool { return !strings.Contains(string(p), "*") }

// Match reports whether the pattern matches the id. Its time is linear in the two lengths for each '*'.
func (p Pattern) Match(id string) bool {
	parts := strings.Split(string(p), "*")
	if len(parts) == 1 {
		return string(p) == id
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(id) < len(first)+len(last) || !strings.HasPrefix(id, first) || !strings.HasSuffix(id, last) {
		return false
	}
	id = id[len(first) : len(id)-len(last)]
	for _, part := range parts[1 : len(parts)-1] { // the leftmost place of each part leaves the most for the rest
		i := strings.Index(id, part)
		if i < 0 {
			return false
		}
		id = id[i+len(part):]
	}
	return true
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`)

// Like is the pattern as the right side of SQL's LIKE, escaped with backslashes as ClickHouse reads it.
func (p Pattern) Like() string { return likeEscaper.Replace(string(p)) }
