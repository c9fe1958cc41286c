// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import "strings"

const escape = 0x1b

// StripANSI removes the escape sequences of terminals: colours, movements of the cursor, titles, links. A line
// without any is returned as it is, without an allocation.
func StripANSI(line string) string {
	at := strings.IndexByte(line, escape)
	if at < 0 {
		return line
	}
	var b strings.Builder
	b.Grow(len(line))
	for at >= 0 {
		b.WriteString(line[:at])
		line = line[at+sequence(line[at:]):]
		at = strings.IndexByte(line, escape)
	}
	b.WriteString(line)
	return b.String()
}

// sequence returns the length of the escape sequence that s begins with. One that is not finished goes on to the
// first byte that can't be part of it.
func sequence(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch c := s[1]; {
	case c == '[': // CSI: parameters, intermediates, one final byte
		i := 2
		for i < len(s) && s[i] >= 0x20 && s[i] < 0x40 {
			i++
		}
		if i < len(s) && s[i] >= 0x40 && s[i] < 0x7f {
			i++
		}
		return i
	case c == ']' || c == 'P' || c == '_' || c == '^' || c == 'X': // strings, ended by BEL or ESC \
		for i := 2; i < len(s); i++ {
			if s[i] == 0x07 {
				return i + 1
			}
			if s[i] == escape {
				if i+1 < len(s) && s[i+1] == '\\' {
					return i + 2
				}
				return i
			}
		}
		return 2 // never ended: what follows is text
	case c >= 0x20 && c < 0x30: // a character set and the like
		i := 2
		for i < len(s) && s[i] >= 0x20 && s[i] < 0x30 {
			i++
		}
		if i < len(s) && s[i] < 0x7f && s[i] >= 0x30 {
			i++
		}
		return i
	case c >= 0x30 && c < 0x7f:
		return 2
	}
	return 1
}
