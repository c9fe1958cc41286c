// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// MaxDepth is how many arrays and objects may be open at once in a document. Values are decoded by recursion, and
// a stack that runs over can't be recovered from; OTLP needs about ten levels and three more for each level
// of a value.
const MaxDepth = 1000

// padding follows the document in decoder.b, so that a load of eight bytes may begin at any byte of it. It is
// zeros: no token, and no part of a string, so whatever runs to the end of the document stops there.
const padding = 16

// decoder reads one document. Its methods don't return errors: the first one is kept in err, and p is put at
// the end of the document, where every further token fails and so every loop ends.
//
// Objects and arrays are read so; a null in their place counts as nothing:
//
//	if d.object() {
//		for d.field() {
//			switch string(d.key()) {
//			...
//			default:
//				d.unknown()
//
//	if d.array() {
//		for d.element() {
type decoder struct {
	b     []byte // a copy of the document, and padding. Strings are unescaped in place
	n     int    // length of the document
	p     int    // the next byte
	depth int
	first bool // an object or array was opened, and nothing of it was read yet
	from  int  // where in b the name is that field has read
	to    int  // and its end: a slice here would cost a write barrier a field
	err   error

	// rare is set at what pdata's API can't express: the reference decodes such a document once it is read here.
	rare bool
	// emptyKey is set at a field with an empty name, which the reference takes for the end of an object.
	emptyKey bool

	names   names
	texts   chunk[byte]
	strings chunk[stringValue]
	attrs   chunk[keyValue]
	hints   hints
	bytes   []byte    // scratch
	ints    []uint64  // scratch
	floats  []float64 // scratch
}

// chunk is memory that many of a document share.
type chunk[T any] struct {
	all   []T
	used  int // how much of all is taken
	total int // how much of the document's is taken
}

// take returns the next n, for which there is room.
func (c *chunk[T]) take(n int) []T {
	c.used += n
	c.total += n
	return c.all[c.used-n : c.used : c.used]
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = fmt.Errorf("byte %d: %s", min(d.p, d.n), what)
	}
	d.p = d.n
}

// unexpected fails at the byte before p.
func (d *decoder) unexpected(want string) {
	if d.err != nil {
		return
	}
	d.p--
	if d.p >= d.n {
		d.fail("the document ends where " + want + " is expected")
		return
	}
	d.fail(fmt.Sprintf("%s is expected, not %q", want, d.b[d.p]))
}

// next returns the next byte that is no white space, and moves behind it. At the end of the document it returns 0
// (as for a zero in it: no token either way).
func (d *decoder) next() byte {
	c := d.b[d.p]
	if c <= ' ' {
		return d.nextSlow()
	}
	d.p++
	return c
}

func (d *decoder) nextSlow() byte {
	for {
		switch c := d.b[d.p]; c {
		case ' ', '\t', '\n', '\r':
			d.p++
		case 0:
			// The end moves on too, so that every token can be taken back; fail puts it right.
			if d.p <= d.n {
				d.p++
			}
			return 0
		default:
			d.p++
			return c
		}
	}
}

func (d *decoder) load(p int) uint64 { return binary.LittleEndian.Uint64(d.b[p : p+8]) }

func (d *decoder) open() bool {
	if d.depth++; d.depth > MaxDepth {
		d.fail(fmt.Sprintf("the document is nested deeper than %d levels", MaxDepth))
		return false
	}
	d.first = true
	return true
}

// object begins an object, and reports false for null.
func (d *decoder) object() bool {
	switch d.next() {
	case '{':
		return d.open()
	case 'n':
		d.null()
	default:
		d.unexpected("an object")
	}
	return false
}

// key is the name that field has read, until the next call of it.
func (d *decoder) key() []byte { return d.b[d.from:d.to] }

// field reads the name of the next field, or the end of the object.
func (d *decoder) field() bool {
	if p := d.p; d.b[p] == ',' && d.b[p+1] == '"' && !d.first { // as most are
		if end := d.stringEnd(p + 2); d.b[end] == '"' && d.b[end+1] == ':' {
			d.from, d.to = p+2, end
			d.p = end + 2
			return true
		}
	}
	c := d.next()
	if c == '}' {
		d.first = false
		d.depth--
		return false
	}
	if d.first {
		d.first = false
	} else {
		if c != ',' {
			d.unexpected("a comma or the end of an object")
			return false
		}
		c = d.next()
	}
	if c != '"' {
		d.unexpected("the name of a field")
		return false
	}
	end := d.stringEnd(d.p)
	if d.b[end] == '"' {
		d.from, d.to = d.p, end
		d.p = end + 1
	} else {
		d.from = d.p
		d.to = d.from + len(d.unescape(end))
	}
	if d.b[d.p] == ':' {
		d.p++
	} else if d.next() != ':' {
		d.unexpected("a colon")
		return false
	}
	return true
}

// array begins an array, and reports false for null.
func (d *decoder) array() bool {
	switch d.next() {
	case '[':
		return d.open()
	case 'n':
		d.null()
	default:
		d.unexpected("an array")
	}
	return false
}

// element moves to the next element, or behind the end of the array.
func (d *decoder) element() bool {
	if d.b[d.p] == ',' && !d.first {
		d.p++
		return true
	}
	return d.elementSlow()
}

func (d *decoder) elementSlow() bool {
	c := d.next()
	if c == ']' {
		d.first = false
		d.depth--
		return false
	}
	if d.first {
		d.first = false
		d.p--
		return d.err == nil // what is not a value fails where it is read
	}
	if c != ',' {
		d.unexpected("a comma or the end of an array")
		return false
	}
	return true
}

// word reads a literal of which the first byte is read.
func (d *decoder) word(literal string) {
	rest := literal[1:]
	if string(d.b[d.p:d.p+len(rest)]) != rest {
		d.fail("this is no literal of JSON")
		return
	}
	d.p += len(rest)
}

func (d *decoder) null() { d.word("null") }

func (d *decoder) bool() bool {
	switch d.next() {
	case 't':
		d.word("true")
		return true
	case 'f':
		d.word("false")
	default:
		d.unexpected("true or false")
	}
	return false
}

// unknown skips the value of a field that OTLP does not have.
func (d *decoder) unknown() {
	if d.from == d.to {
		d.emptyKey = true
	}
	d.skip()
}

func (d *decoder) skip() {
	switch d.next() {
	case '"':
		d.p--
		d.str0()
	case 'n':
		d.null()
	case 't':
		d.word("true")
	case 'f':
		d.word("false")
	case '{':
		if d.open() {
			for d.field() {
				d.unknown()
			}
		}
	case '[':
		if d.open() {
			for d.element() {
				d.skip()
			}
		}
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		d.p--
		d.skipNumber()
	default:
		d.unexpected("a value")
	}
}

// end checks that nothing follows.
func (d *decoder) end() {
	if d.err != nil {
		return
	}
	if d.next(); d.p <= d.n {
		d.p--
		d.fail("something follows the document")
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stringEnd returns where the first byte at or behind p is that ends or interrupts a string: a quote, a backslash or
// a control character. The padding has such.
func (d *decoder) stringEnd(p int) int {
	for {
		w := d.load(p)
		quote := w ^ ones*'"'
		slash := w ^ ones*'\\'
		// Each term has the high bit of the lowest byte that is sought; those above it may be wrong.
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs
		if found != 0 {
			return p + bits.TrailingZeros64(found)>>3
		}
		p += 8
	}
}
