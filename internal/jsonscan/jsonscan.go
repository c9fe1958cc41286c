// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package jsonscan walks through one JSON document in the order in which it is written, without building a tree: keys
// that occur twice are seen twice, numbers keep all their digits.
package jsonscan

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrInvalid is returned by New for what is not one JSON document.
var ErrInvalid = errors.New("not valid JSON")

// Scanner stands before a value. Every method that returns a value moves behind it. Not safe for concurrent use.
type Scanner struct {
	b []byte
	i int
}

// New checks that doc is one JSON document and returns a Scanner before its value. doc must not change while the
// Scanner is in use; what it returns does not refer to it.
func New(doc []byte) (*Scanner, error) {
	if !json.Valid(doc) {
		return nil, ErrInvalid
	}
	s := &Scanner{b: doc}
	s.space()
	return s, nil
}

// Kind is the kind of a value.
type Kind string

// The kinds.
const (
	Null   Kind = "null"
	Bool   Kind = "a boolean"
	Number Kind = "a number"
	String Kind = "a string"
	Array  Kind = "an array"
	Object Kind = "an object"
)

// The document is valid: that is what keeps the functions below short, and their indexes in bounds.

// Kind returns the kind of the next value.
func (s *Scanner) Kind() Kind {
	switch s.b[s.i] {
	case '{':
		return Object
	case '[':
		return Array
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	default:
		return Number
	}
}

func (s *Scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

func (s *Scanner) want(k Kind) error {
	if got := s.Kind(); got != k {
		return fmt.Errorf("%s, not %s", got, k)
	}
	return nil
}

// Object calls f for every member, with the Scanner before its value, which f has to consume.
func (s *Scanner) Object(f func(key string) error) error {
	if err := s.want(Object); err != nil {
		return err
	}
	s.i++
	s.space()
	for s.b[s.i] != '}' {
		key := s.text()
		s.space()
		s.i++ // :
		s.space()
		if err := f(key); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		s.next()
	}
	s.i++
	return nil
}

// Array calls f for every element, with the Scanner before it; f has to consume it.
func (s *Scanner) Array(f func() error) error {
	if err := s.want(Array); err != nil {
		return err
	}
	s.i++
	s.space()
	for n := 0; s.b[s.i] != ']'; n++ {
		if err := f(); err != nil {
			return fmt.Errorf("[%d]: %w", n, err)
		}
		s.next()
	}
	s.i++
	return nil
}

// next goes to the next member or element, or to the end of the container.
func (s *Scanner) next() {
	s.space()
	if s.b[s.i] == ',' {
		s.i++
		s.space()
	}
}

// Raw returns the bytes of the next value, which are part of the document.
func (s *Scanner) Raw() []byte {
	from := s.i
	s.Skip()
	return s.b[from:s.i]
}

// Skip passes the next value.
func (s *Scanner) Skip() {
	depth := 0
	for {
		switch s.b[s.i] {
		case '"':
			s.skipString()
		case '{', '[':
			depth++
			s.i++
		case '}', ']':
			depth--
			s.i++
		case ',', ':', ' ', '\t', '\n', '\r':
			s.i++
			continue
		default:
			s.skipWord()
		}
		if depth == 0 {
			return
		}
	}
}

func (s *Scanner) skipString() {
	for s.i++; s.b[s.i] != '"'; s.i++ {
		if s.b[s.i] == '\\' {
			s.i++
		}
	}
	s.i++
}

// skipWord passes a number, true, false or null.
func (s *Scanner) skipWord() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return
		}
		s.i++
	}
}

// Null passes a null and reports whether there was one.
func (s *Scanner) Null() bool {
	if s.Kind() != Null {
		return false
	}
	s.i += 4
	return true
}

// Str returns a string; bytes that are no UTF-8 are U+FFFD.
func (s *Scanner) Str() (string, error) {
	if err := s.want(String); err != nil {
		return "", err
	}
	return s.text(), nil
}

// Bool returns a boolean.
func (s *Scanner) Bool() (bool, error) {
	if err := s.want(Bool); err != nil {
		return false, err
	}
	return len(s.Raw()) == len("true"), nil
}

// number returns the text of a number, which may stand in a string.
func (s *Scanner) number() (string, error) {
	switch s.Kind() {
	case Number:
		return string(s.Raw()), nil
	case String:
		return s.text(), nil
	default:
		return "", s.want(Number)
	}
}

// Int returns an integer that fits bits, also out of a string.
func (s *Scanner) Int(bits int) (int64, error) {
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is no integer of %d bits", text, bits)
	}
	return v, nil
}

// Uint returns an integer of 0 or more that fits bits, also out of a string.
func (s *Scanner) Uint(bits int) (uint64, error) {
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is no positive integer of %d bits", text, bits)
	}
	return v, nil
}

// Float returns a number, also out of a string, where it may be NaN or infinite.
func (s *Scanner) Float() (float64, error) {
	text, err := s.number()
	if err != nil {
		return 0, err
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !(math.IsInf(v, 0) && errors.Is(err, strconv.ErrRange)) {
		return 0, fmt.Errorf("%q is no number", text)
	}
	return v, nil
}

// text returns the string that the Scanner stands before.
func (s *Scanner) text() string {
	from := s.i + 1
	s.skipString()
	raw := s.b[from : s.i-1]
	plain := true
	for _, c := range raw {
		if c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return string(raw)
	}
	return unescape(raw)
}

func unescape(raw []byte) string {
	var b strings.Builder
	b.Grow(len(raw))
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '\\':
			if raw[i+1] != 'u' {
				b.WriteByte(escaped(raw[i+1]))
				i += 2
				continue
			}
			r := hex4(raw[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					low = hex4(raw[i+2:])
				}
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
					i += 6
				}
			}
			b.WriteRune(r)
		case c < utf8.RuneSelf:
			b.WriteByte(c)
			i++
		default:
			r, size := utf8.DecodeRune(raw[i:])
			b.WriteRune(r)
			i += size
		}
	}
	return b.String()
}

func escaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c // " \\ /
	}
}

func hex4(h []byte) (r rune) {
	for _, c := range h[:4] {
		switch {
		case c <= '9':
			c -= '0'
		case c <= 'F':
			c -= 'A' - 10
		default:
			c -= 'a' - 10
		}
		r = r<<4 | rune(c)
	}
	return r
}
