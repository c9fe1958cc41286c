// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxFields bounds the attributes of a line.
	maxFields = 128
	// maxFlat is the depth to which objects are taken apart.
	maxFlat = 4
	// maxPrefix bounds the name of an object that is taken apart: every field in it repeats it.
	maxPrefix = 128
	// maxDepth bounds the nesting of a line that counts as JSON.
	maxDepth = 64
)

// scanner reads a JSON object as a list of fields. Strings without escapes are parts of the text.
type scanner struct {
	s      string
	at     int
	record *Record
}

// json reads line as one JSON object and nothing else. false leaves the record in an undefined state.
func (p *Parser) json(line string) bool {
	s := scanner{s: line, record: &p.record}
	if !s.object("", 1) {
		return false
	}
	s.space()
	return s.at == len(line)
}

func (s *scanner) space() {
	for s.at < len(s.s) {
		switch s.s[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// next skips space and returns the next byte, 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.at == len(s.s) {
		return 0
	}
	return s.s[s.at]
}

func (s *scanner) add(f Field) {
	if f.Key == "" || len(s.record.Fields) == maxFields {
		s.record.Lossy = true
		return
	}
	s.record.Fields = append(s.record.Fields, f)
}

// object reads an object whose fields get prefix before their names.
func (s *scanner) object(prefix string, depth int) bool {
	s.at++ // the brace
	if s.next() == '}' {
		s.at++
		if depth > 1 {
			s.add(Field{Key: strings.TrimSuffix(prefix, "."), Kind: KindJSON, Str: "{}"})
		}
		return true
	}
	for {
		if s.next() != '"' {
			return false
		}
		key, ok := s.str()
		if !ok || s.next() != ':' {
			return false
		}
		s.at++
		if prefix != "" {
			key = prefix + key
		}
		if !s.field(key, depth) {
			return false
		}
		switch s.next() {
		case ',':
			s.at++
		case '}':
			s.at++
			return true
		default:
			return false
		}
	}
}

func (s *scanner) field(key string, depth int) bool {
	c := s.next()
	start := s.at
	switch {
	case c == '"':
		value, ok := s.str()
		s.add(Field{Key: key, Kind: KindString, Str: value})
		return ok
	case c == '{' && depth < maxFlat && len(key) <= maxPrefix && len(s.record.Fields) < maxFields:
		return s.object(key+".", depth+1)
	case c == '{' || c == '[':
		if !s.skip(depth) {
			return false
		}
		s.add(Field{Key: key, Kind: KindJSON, Str: s.s[start:s.at]})
		return true
	case c == 't' && s.word("true"):
		s.add(Field{Key: key, Kind: KindBool, Int: 1})
		return true
	case c == 'f' && s.word("false"):
		s.add(Field{Key: key, Kind: KindBool})
		return true
	case c == 'n' && s.word("null"):
		s.add(Field{Key: key, Kind: KindNull})
		return true
	}
	integer, ok := s.number()
	if ok {
		s.add(number(key, s.s[start:s.at], integer))
	}
	return ok
}

// number keeps as text what neither an int64 nor a float64 holds.
func number(key, text string, integer bool) Field {
	if integer {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return Field{Key: key, Kind: KindInt, Str: text, Int: n}
		}
		return Field{Key: key, Kind: KindString, Str: text}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) {
		return Field{Key: key, Kind: KindString, Str: text}
	}
	return Field{Key: key, Kind: KindFloat, Str: text, Float: f}
}

func (s *scanner) word(w string) bool {
	if !strings.HasPrefix(s.s[s.at:], w) {
		return false
	}
	s.at += len(w)
	return true
}

// number skips a number and says whether it is an integer.
func (s *scanner) number() (integer, ok bool) {
	if s.at < len(s.s) && s.s[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.s) && s.s[s.at] == '0' {
		s.at++
	} else if !s.digits() {
		return false, false
	}
	integer = true
	if s.at < len(s.s) && s.s[s.at] == '.' {
		s.at++
		integer = false
		if !s.digits() {
			return false, false
		}
	}
	if s.at < len(s.s) && s.s[s.at]|0x20 == 'e' {
		s.at++
		integer = false
		if s.at < len(s.s) && (s.s[s.at] == '+' || s.s[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return false, false
		}
	}
	return integer, true
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.s) && s.s[s.at]-'0' < 10 {
		s.at++
	}
	return s.at > start
}

// str reads a string.
func (s *scanner) str() (string, bool) {
	s.at++
	start := s.at
	for s.at < len(s.s) {
		switch c := s.s[s.at]; {
		case c == '"':
			value := s.s[start:s.at]
			s.at++
			return value, true
		case c == '\\':
			return s.escaped(start)
		case c < 0x20:
			return "", false
		}
		s.at++
	}
	return "", false
}

// escaped reads the rest of a string that has an escape at s.at.
func (s *scanner) escaped(start int) (string, bool) {
	b := make([]byte, 0, 2*(s.at-start)+64)
	b = append(b, s.s[start:s.at]...)
	for s.at < len(s.s) {
		c := s.s[s.at]
		s.at++
		switch {
		case c == '"':
			return string(b), true
		case c < 0x20:
			return "", false
		case c != '\\':
			b = append(b, c)
			continue
		}
		if s.at == len(s.s) {
			return "", false
		}
		c = s.s[s.at]
		s.at++
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := s.hex4()
			if !ok {
				return "", false
			}
			if utf16.IsSurrogate(r) {
				r = s.surrogate(r)
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", false
		}
	}
	return "", false
}

// surrogate reads the other half of a pair; half a pair alone becomes U+FFFD.
func (s *scanner) surrogate(first rune) rune {
	if !strings.HasPrefix(s.s[s.at:], `\u`) {
		return utf8.RuneError
	}
	back := s.at
	s.at += 2
	if second, ok := s.hex4(); ok {
		if r := utf16.DecodeRune(first, second); r != utf8.RuneError {
			return r
		}
	}
	s.at = back
	return utf8.RuneError
}

func (s *scanner) hex4() (r rune, ok bool) {
	if len(s.s)-s.at < 4 {
		return 0, false
	}
	for range 4 {
		c := s.s[s.at]
		s.at++
		switch {
		case c-'0' < 10:
			r = r<<4 | rune(c-'0')
		case c|0x20-'a' < 6:
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// skip checks an object or array without taking it apart.
func (s *scanner) skip(depth int) bool {
	if depth == maxDepth {
		return false
	}
	open := s.s[s.at]
	end := open + 2 // ] or }
	s.at++
	if s.next() == end {
		s.at++
		return true
	}
	for {
		if open == '{' {
			if s.next() != '"' {
				return false
			}
			if _, ok := s.str(); !ok || s.next() != ':' {
				return false
			}
			s.at++
		}
		if !s.skipValue(depth) {
			return false
		}
		switch s.next() {
		case ',':
			s.at++
		case end:
			s.at++
			return true
		default:
			return false
		}
	}
}

func (s *scanner) skipValue(depth int) bool {
	switch s.next() {
	case '"':
		_, ok := s.str()
		return ok
	case '{', '[':
		return s.skip(depth + 1)
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	_, ok := s.number()
	return ok
}
