// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// alias makes a string of a part of d.b, for what does not keep it.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

const (
	// ownText is from how many bytes on a string has an allocation of its own. Shorter ones share one, so that what
	// is kept alive by a string that somebody keeps is little.
	ownText = 512
	maxText = 8 << 10
)

// text copies a string.
func (d *decoder) text(b []byte) string {
	n := len(b)
	if d.texts.used+n > len(d.texts.all) {
		if n >= ownText {
			return string(b)
		}
		d.texts.all, d.texts.used = make([]byte, max(n, min(max(d.hints.text-d.texts.total, 1<<10), maxText, d.n-d.p))), 0
	}
	to := d.texts.take(n)
	copy(to, b)
	return alias(to)
}

// names are the last names of attributes: few are new, also from one document to the next. They have allocations of
// their own, as they outlive the document.
type names [256]string

// name copies the name of an attribute, or finds it.
func (d *decoder) name(b []byte) string {
	n := len(b)
	if n < 8 || n > 64 {
		return d.text(b)
	}
	first, last := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[n-8:])
	s := &d.names[(first*31+last+uint64(n))*0x9E3779B97F4A7C15>>56]
	if *s != string(b) {
		*s = string(b)
	}
	return *s
}

// str reads a string, or null for an empty one.
func (d *decoder) str() string { return d.text(d.str0()) }

// str0 is str without the copy: it returns a part of d.b.
func (d *decoder) str0() []byte {
	if d.b[d.p] == '"' {
		d.p++
	} else if c := d.next(); c != '"' {
		if c == 'n' {
			d.null()
		} else {
			d.unexpected("a string")
		}
		return nil
	}
	end := d.stringEnd(d.p)
	if d.b[end] == '"' {
		s := d.b[d.p:end]
		d.p = end + 1
		return s
	}
	return d.unescape(end)
}

// unescape reads the rest of a string that begins at p and has its first backslash, or what may not be there, at
// from. What it returns is written over the string itself, since it is never longer.
//
// As the reference does, it takes control characters as they are behind the first escape, and does not look at UTF-8.
func (d *decoder) unescape(from int) []byte {
	if d.b[from] != '\\' {
		d.p = from
		if from < d.n {
			d.fail("a control character in a string must be escaped")
		} else {
			d.fail("a string does not end")
		}
		return nil
	}
	start, w := d.p, from
	for r := from; ; {
		switch d.b[r] {
		case '"':
			d.p = r + 1
			return d.b[start:w]
		case '\\':
			n, to := d.escape(r, w)
			if n == 0 {
				return nil
			}
			r, w = r+n, to
		default: // a control character, or the end
			if r >= d.n {
				d.p = r
				d.fail("a string does not end")
				return nil
			}
			d.b[w] = d.b[r]
			r, w = r+1, w+1
		}
		end := d.stringEnd(r)
		w += copy(d.b[w:], d.b[r:end])
		r = end
	}
}

// escape reads the escape at r and writes what it stands for at w. It returns the length of the escape, 0 when it
// is none, and where to write on.
func (d *decoder) escape(r, w int) (n, to int) {
	var c byte
	switch e := d.b[r+1]; e {
	case '"', '\\', '/':
		c = e
	case 'n':
		c = '\n'
	case 't':
		c = '\t'
	case 'r':
		c = '\r'
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'u':
		return d.escapeU(r, w)
	default:
		d.p = r
		d.fail("this is no escape of JSON")
		return 0, w
	}
	d.b[w] = c
	return 2, w + 1
}

// escapeU reads \uXXXX, or two of them when the first is half of a pair. As in the reference, the second is then
// taken with the first also where the two are no pair: both become U+FFFD, or the second what it is.
func (d *decoder) escapeU(r, w int) (n, to int) {
	c, ok := d.hex4(r + 2)
	if !ok {
		return 0, w
	}
	n = 6
	if utf16.IsSurrogate(c) {
		if d.b[r+6] == '\\' && d.b[r+7] == 'u' {
			second, ok := d.hex4(r + 8)
			if !ok {
				return 0, w
			}
			n = 12
			if pair := utf16.DecodeRune(c, second); pair != utf8.RuneError {
				return n, w + utf8.EncodeRune(d.b[w:], pair)
			}
			w += utf8.EncodeRune(d.b[w:], utf8.RuneError)
			c = second
		}
	}
	return n, w + utf8.EncodeRune(d.b[w:], c) // writes U+FFFD for half of a pair
}

func (d *decoder) hex4(p int) (rune, bool) {
	var r rune
	for _, c := range d.b[p : p+4] {
		v := hexDigit[c]
		if v > 15 {
			d.p = p
			d.fail("four hexadecimal digits are expected")
			return 0, false
		}
		r = r<<4 | rune(v)
	}
	return r, true
}

// hexDigit is the value of a hexadecimal digit, and 255 for other bytes.
var hexDigit = func() (t [256]byte) {
	for i := range t {
		t[i] = 255
	}
	for i := range 10 {
		t['0'+i] = byte(i)
	}
	for i := range 6 {
		t['a'+i], t['A'+i] = byte(10+i), byte(10+i)
	}
	return t
}()

// rawString returns what is between the next two quotes as it stands: no escape makes sense in what is read so.
func (d *decoder) rawString() []byte {
	if d.next() != '"' {
		d.unexpected("a string")
		return nil
	}
	n := bytes.IndexByte(d.b[d.p:d.n], '"')
	if n < 0 {
		d.p = d.n
		d.fail("a string does not end")
		return nil
	}
	s := d.b[d.p : d.p+n]
	d.p += n + 1
	return s
}

// id reads a hexadecimal id into dst. An empty string is the empty id.
func (d *decoder) id(dst []byte) {
	at := d.p
	s := d.rawString()
	if len(s) == 0 {
		return
	}
	if len(s) != 2*len(dst) {
		d.p = at
		d.fail("an id has the wrong length")
		return
	}
	for i := range dst {
		hi, lo := hexDigit[s[2*i]], hexDigit[s[2*i+1]]
		if hi|lo > 15 {
			d.p = at
			d.fail("an id is not hexadecimal")
			return
		}
		dst[i] = hi<<4 | lo
	}
}

func (d *decoder) traceID() (id [16]byte) {
	d.id(id[:])
	return id
}

func (d *decoder) spanID() (id [8]byte) {
	d.id(id[:])
	return id
}
