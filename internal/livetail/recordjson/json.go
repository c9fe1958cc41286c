// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package recordjson

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/tailrace/tailrace/internal/jsontext"
	"github.com/tailrace/tailrace/internal/livetail"
)

// Object writes the members of a JSON object to the end of B. First is true until one was written.
type Object struct {
	B     []byte
	First bool
}

// AppendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD: a text frame must be valid.
func AppendString[S []byte | string](dst []byte, s S) []byte {
	dst, _ = jsontext.AppendString(dst, s)
	return dst
}

// Key begins a member; name is a constant that needs no escaping, and its value is to follow.
func (o *Object) Key(name string) {
	if !o.First {
		o.B = append(o.B, ',')
	}
	o.First = false
	o.B = append(o.B, '"')
	o.B = append(o.B, name...)
	o.B = append(o.B, '"', ':')
}

// Open begins a member that is an object; Close ends it.
func (o *Object) Open(name string) {
	o.Key(name)
	o.B = append(o.B, '{')
	o.First = true
}

// Close ends an object that Open began.
func (o *Object) Close() {
	o.B = append(o.B, '}')
	o.First = false
}

// Str writes a string.
func (o *Object) Str(name, s string) {
	o.Key(name)
	o.B = AppendString(o.B, s)
}

// Bytes writes a string.
func (o *Object) Bytes(name string, s []byte) {
	o.Key(name)
	o.B = AppendString(o.B, s)
}

// Optional writes a string; it is left out when it is empty.
func (o *Object) Optional(name, s string) {
	if s != "" {
		o.Str(name, s)
	}
}

// OptionalBytes is Optional.
func (o *Object) OptionalBytes(name string, s []byte) {
	if len(s) > 0 {
		o.Bytes(name, s)
	}
}

// Hex writes an id as hexadecimal digits.
func (o *Object) Hex(name string, id []byte) {
	o.Key(name)
	o.B = append(o.B, '"')
	o.B = hex.AppendEncode(o.B, id)
	o.B = append(o.B, '"')
}

// Float writes a number.
func (o *Object) Float(name string, f float64) {
	o.Key(name)
	o.B = jsontext.AppendFloat(o.B, f)
}

// Uint writes a number.
func (o *Object) Uint(name string, n uint64) {
	o.Key(name)
	o.B = AppendUint(o.B, n)
}

// Numbers above what a JSON reader with 64-bit floats keeps exactly are written as strings, as OTLP/JSON does.
const maxExact = 1 << 53

// AppendInt appends a number, as a string when a reader with 64-bit floats would not keep it exactly.
func AppendInt(dst []byte, n int64) []byte {
	if n > maxExact || n < -maxExact {
		dst = append(dst, '"')
		dst = strconv.AppendInt(dst, n, 10)
		return append(dst, '"')
	}
	return strconv.AppendInt(dst, n, 10)
}

// AppendUint is AppendInt for numbers without sign.
func AppendUint(dst []byte, n uint64) []byte {
	if n > maxExact {
		dst = append(dst, '"')
		dst = strconv.AppendUint(dst, n, 10)
		return append(dst, '"')
	}
	return strconv.AppendUint(dst, n, 10)
}

// AppendMillis appends a time as ISO 8601 with milliseconds, as the classic messages have it.
func AppendMillis(dst []byte, nanos int64) []byte { return appendTime(dst, nanos, 3) }

// AppendNanos appends a time as RFC 3339 with all nine digits.
func AppendNanos(dst []byte, nanos int64) []byte { return appendTime(dst, nanos, 9) }

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

// AppendValue appends a value and reads its elements from f.
func AppendValue(dst []byte, f *livetail.Fields, v livetail.Value) []byte {
	switch v.Kind {
	case livetail.KindString:
		return AppendString(dst, v.Str)
	case livetail.KindBool:
		return strconv.AppendBool(dst, v.Bool)
	case livetail.KindInt:
		return AppendInt(dst, v.Int)
	case livetail.KindDouble:
		return jsontext.AppendFloat(dst, v.Double)
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
			dst = AppendValue(dst, f, f.Value())
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
		dst = AppendString(dst, f.String())
		dst = append(dst, ':')
		dst = AppendValue(dst, f, f.Value())
	}
	return append(dst, '}')
}

// Value writes a value, whose elements are read from f.
func (o *Object) Value(name string, f *livetail.Fields, v livetail.Value) {
	o.Key(name)
	o.B = AppendValue(o.B, f, v)
}

// Attributes writes the attributes that f stands before, and passes them.
func (o *Object) Attributes(f *livetail.Fields) {
	o.Key("attributes")
	o.B = appendMembers(o.B, f, f.Count())
}

// Text writes a value as a string: what is no string is written as its JSON.
func (o *Object) Text(name string, f *livetail.Fields, v livetail.Value) {
	switch v.Kind {
	case livetail.KindString:
		o.Bytes(name, v.Str)
	case livetail.KindEmpty:
		o.Str(name, "")
	default:
		o.Bytes(name, AppendValue(nil, f, v))
	}
}
