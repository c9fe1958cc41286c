// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"strconv"
	"strings"
)

// logfmt reads key=value pairs, values in double quotes where they hold spaces. lenient takes words without a value,
// too, as true; otherwise a line that is not pairs to its end, or has just one, is refused.
func (p *Parser) logfmt(line string, lenient bool) bool {
	s := scanner{record: &p.record}
	pairs := 0
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return pairs > 1 || lenient && pairs == 1
		}
		n := 0
		for n < len(line) && isKey(line[n]) {
			n++
		}
		if n == 0 || line[0] == '-' || line[0] == '.' {
			return false
		}
		key := line[:n]
		line = line[n:]
		if line == "" || line[0] != '=' {
			if !lenient || line != "" && line[0] != ' ' && line[0] != '\t' {
				return false
			}
			s.add(Field{Key: key, Kind: KindBool, Int: 1})
			continue
		}
		value, rest, ok := logfmtValue(line[1:])
		if !ok {
			return false
		}
		line = rest
		pairs++
		s.add(Field{Key: key, Kind: KindString, Str: value})
	}
}

// logfmtValue takes a value from the beginning of s.
func logfmtValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		n := 0
		for n < len(s) && s[n] != ' ' && s[n] != '\t' {
			if s[n] == '"' {
				return "", "", false
			}
			n++
		}
		return s[:n], s[n:], true
	}
	plain := true
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			plain = false
			i++
		case '"':
			rest := s[i+1:]
			if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
				return "", "", false
			}
			if plain {
				return s[1:i], rest, true
			}
			value, err := strconv.Unquote(s[:i+1])
			if err != nil {
				return "", "", false
			}
			return strings.ToValidUTF8(value, "\uFFFD"), rest, true
		}
	}
	return "", "", false
}

func isKey(c byte) bool {
	return isWord(c) || c == '.' || c == '-' || c == '/' || c == '@' || c >= 0x80
}
