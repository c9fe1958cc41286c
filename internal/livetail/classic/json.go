// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tailrace/tailrace/internal/livetail"
)

// object writes the members of a JSON object; first is set until one was written.
type object struct {
	b     []byte
	first bool
}

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD: a text frame must be valid.
func appendString[S []byte | string](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := decodeRune(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, "\ufffd"...)
			i += size
			start = i
			continue
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func decodeRune[S []byte | string](s S) (rune, int) {
	var head [utf8.UTFMax]byte
	n := copy(head[:], s)
	return utf8.DecodeRune(head[:n])
}

// key starts a member; name is a constant that needs no escaping.
func (o *object) key(name string) {
	if !o.first {
		o.b = append(o.b, ',')
	}
	o.first = false
	o.b = append(o.b, '"')
	o.b = append(o.b, name...)
	o.b = append(o.b, '"', ':')
}

func (o *object) open(name string) {
	o.key(name)
	o.b = append(o.b, '{')
	o.first = true
}

func (o *object) close() {
	o.b = append(o.b, '}')
	o.first = false
}

func (o *object) str(name, s string) {
	o.key(name)
	o.b = appendString(o.b, s)
}

func (o *object) bytes(name string, s []byte) {
	o.key(name)
	o.b = appendString(o.b, s)
}

// optional members are left out when they are empty.
func (o *object) optional(name, s string) {
	if s != "" {
		o.str(name, s)
	}
}

func (o *object) optionalBytes(name string, s []byte) {
	if len(s) > 0 {
		o.bytes(name, s)
	}
}

func (o *object) hex(name string, id []byte) {
	o.key(name)
	o.b = append(o.b, '"')
	o.b = hex.AppendEncode(o.b, id)
	o.b = append(o.b, '"')
}

func (o *object) float(name string, f float64) {
	o.key(name)
	o.b = appendFloat(o.b, f)
}

func (o *object) uint(name string, n uint64) {
	o.key(name)
	o.b = appendUint(o.b, n)
}

// Numbers above what a JSON reader with 64-bit floats keeps exactly are written as strings, as OTLP/JSON does.
const maxExact = 1 << 53

func appendInt(dst []byte, n int64) []byte {
	if n > maxExact || n < -maxExact {
		dst = append(dst, '"')
		dst = strconv.AppendInt(dst, n, 10)
		return append(dst, '"')
	}
	return strconv.AppendInt(dst, n, 10)
}

func appendUint(dst []byte, n uint64) []byte {
	if n > maxExact {
		dst = append(dst, '"')
		dst = strconv.AppendUint(dst, n, 10)
		return append(dst, '"')
	}
	return strconv.AppendUint(dst, n, 10)
}

func appendFloat(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "\"NaN\""...)
	case math.IsInf(f, 1):
		return append(dst, "\"Infinity\""...)
	case math.IsInf(f, -1):
		return append(dst, "\"-Infinity\""...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendMillis appends a time as ISO 8601 with milliseconds, as the classic messages have it.
func appendMillis(dst []byte, nanos int64) []byte { return appendTime(dst, nanos, 3) }

// appendNanos appends a time as RFC 3339 with all nine digits.
func appendNanos(dst []byte, nanos int64) []byte { return appendTime(dst, nanos, 9) }

func appendTime(dst []byte, nanos int64, digits int) []byte {
	t := time.Unix(0, nanos).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, '"')
	dst = appendDigits(dst, year, 4)
	dst = append(dst, '-')
	dst = appendDigits(dst, int(month), 2)
	dst = append(dst, '-')
	dst = appendDigits(dst, day, 2)
	dst = append(dst, 'T')
	dst = appendDigits(dst, hour, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, minute, 2)
	dst = append(dst, ':')
	dst = appendDigits(dst, second, 2)
	dst = append(dst, '.')
	fraction := t.Nanosecond()
	if digits == 3 {
		fraction /= 1e6
	}
	dst = appendDigits(dst, fraction, digits)
	return append(dst, 'Z', '"')
}

func appendDigits(dst []byte, n, width int) []byte {
	var digits [9]byte
	for i := width - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:width]...)
}

// appendValue appends a value and reads its elements from f.
func appendValue(dst []byte, f *livetail.Fields, v livetail.Value) []byte {
	switch v.Kind {
	case livetail.KindString:
		return appendString(dst, v.Str)
	case livetail.KindBool:
		return strconv.AppendBool(dst, v.Bool)
	case livetail.KindInt:
		return appendInt(dst, v.Int)
	case livetail.KindDouble:
		return appendFloat(dst, v.Double)
	case livetail.KindBytes:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Str)
		return append(dst, '"')
	case livetail.KindMap:
		return appendMembers(dst, f, v.Len)
	case livetail.KindSlice:
		dst = append(dst, '[')
		for i := range v.Len {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, f, f.Value())
		}
		return append(dst, ']')
	default:
		return append(dst, "null"...)
	}
}

// appendMembers appends an object of n keys and values that f stands before.
func appendMembers(dst []byte, f *livetail.Fields, n int) []byte {
	dst = append(dst, '{')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, f.String())
		dst = append(dst, ':')
		dst = appendValue(dst, f, f.Value())
	}
	return append(dst, '}')
}

func (o *object) value(name string, f *livetail.Fields, v livetail.Value) {
	o.key(name)
	o.b = appendValue(o.b, f, v)
}

// attributes writes the attributes that f stands before, and passes them.
func (o *object) attributes(f *livetail.Fields) {
	o.key("attributes")
	o.b = appendMembers(o.b, f, f.Count())
}

// text writes a value as a string: what is no string is written as its JSON.
func (o *object) text(name string, f *livetail.Fields, v livetail.Value) {
	switch v.Kind {
	case livetail.KindString:
		o.bytes(name, v.Str)
	case livetail.KindEmpty:
		o.str(name, "")
	default:
		o.bytes(name, appendValue(nil, f, v))
	}
}
