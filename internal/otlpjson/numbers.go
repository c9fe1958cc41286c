// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"encoding/base64"
	"math"
	"strconv"
)

// digits reads the integer at p, digit by digit. ok is false when it does not fit; then the sign of nothing
// is known. A zero is alone, as JSON has it.
func (d *decoder) digits() (v uint64, ok bool) {
	p := d.p
	c := d.b[p] - '0'
	if c > 9 {
		d.p++
		d.unexpected("a digit")
		return 0, true
	}
	if c == 0 {
		d.p++
		return 0, true
	}
	for ; ; p++ {
		c := d.b[p] - '0'
		if c > 9 {
			d.p = p
			return v, true
		}
		if v > math.MaxUint64/10 || v == math.MaxUint64/10 && c > math.MaxUint64%10 {
			return 0, false
		}
		v = v*10 + uint64(c)
	}
}

const outOfRange = "the number is out of the range of its field"

// uint reads an integer from 0 to limit, as a number or as a string.
func (d *decoder) uint(limit uint64) uint64 {
	c := d.next()
	d.p--
	switch {
	case c-'0' <= 9:
		v, ok := d.digits()
		if !ok || v > limit {
			d.fail(outOfRange)
			return 0
		}
		return v
	case c == '"':
		at := d.p
		if v, ok := d.quoted(); ok && v <= limit {
			return v
		}
		d.p = at
		s := alias(d.str0())
		if d.err != nil {
			return 0
		}
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil || v > limit {
			d.p = at
			d.fail("the string is no integer in the range of its field")
		}
		return v
	}
	d.p++
	d.unexpected("an integer")
	return 0
}

// quoted reads a string of 1 to 19 digits, and reads nothing when it is something else.
func (d *decoder) quoted() (v uint64, ok bool) {
	i := d.p + 1
	for range 2 { // the times of OTLP have 19 digits
		eight, ok := eightDigits(d.load(i))
		if !ok {
			break
		}
		v = v*1e8 + eight
		i += 8
	}
	for ; ; i++ {
		c := d.b[i] - '0'
		if c > 9 {
			break
		}
		v = v*10 + uint64(c)
	}
	if n := i - d.p - 1; n == 0 || n > 19 || d.b[i] != '"' {
		return 0, false
	}
	d.p = i + 1
	return v, true
}

// eightDigits reads the digits in w, the first in its lowest byte.
func eightDigits(w uint64) (uint64, bool) {
	const high = 0xF0F0F0F0F0F0F0F0
	if w&high|(w+0x0606060606060606)&high>>4 != 0x3333333333333333 {
		return 0, false
	}
	w -= ones * '0'
	w = w*10 + w>>8 // two digits in every other byte
	return (w&0x000000FF000000FF*(100+1e6<<32) + w>>16&0x000000FF000000FF*(1+1e4<<32)) >> 32, true
}

func (d *decoder) uint64() uint64 { return d.uint(math.MaxUint64) }

func (d *decoder) uint32() uint32 { return uint32(d.uint(math.MaxUint32)) }

// int reads an integer of so many bits, as a number or as a string.
func (d *decoder) int(size int) int64 {
	limit := uint64(1) << (size - 1)
	c := d.next()
	switch {
	case c == '-':
		v, ok := d.digits()
		if !ok || v > limit {
			d.fail(outOfRange)
			return 0
		}
		return -int64(v)
	case c-'0' <= 9:
		d.p--
		v, ok := d.digits()
		if !ok || v >= limit {
			d.fail(outOfRange)
			return 0
		}
		return int64(v)
	case c == '"':
		d.p--
		at := d.p
		if v, ok := d.quoted(); ok && v < limit {
			return int64(v)
		}
		d.p = at
		s := alias(d.str0())
		if d.err != nil {
			return 0
		}
		v, err := strconv.ParseInt(s, 10, size)
		if err != nil {
			d.p = at
			d.fail("the string is no integer in the range of its field")
		}
		return v
	}
	d.unexpected("an integer")
	return 0
}

func (d *decoder) int64() int64 { return d.int(64) }

func (d *decoder) int32() int32 { return int32(d.int(32)) }

// pow10 is what a float64 holds exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// number is a number as it stands in the document.
type number struct {
	text     []byte
	negative bool
	exponent bool
	mantissa uint64 // the digits without the dot, when there are at most 19
	digits   int    // how many there are, leading zeros too
	fraction int    // how many of them are behind the dot
}

// number reads a number by the grammar of JSON.
func (d *decoder) number() (n number) {
	start := d.p
	if d.b[d.p] == '-' {
		n.negative = true
		d.p++
	}
	whole := d.run(&n)
	if whole == 0 || whole > 1 && d.b[d.p-whole] == '0' {
		d.p = start
		d.fail("this is no number of JSON")
		return n
	}
	if d.b[d.p] == '.' {
		d.p++
		if n.fraction = d.run(&n); n.fraction == 0 {
			d.fail("a digit is missing behind the dot")
			return n
		}
	}
	if d.b[d.p]|0x20 == 'e' {
		n.exponent = true
		d.p++
		if d.b[d.p] == '+' || d.b[d.p] == '-' {
			d.p++
		}
		var e number
		if d.run(&e) == 0 {
			d.fail("a digit is missing in the exponent")
			return n
		}
	}
	n.text = d.b[start:d.p]
	return n
}

func (d *decoder) run(n *number) int {
	start := d.p
	v := n.mantissa
	for {
		c := d.b[d.p] - '0'
		if c > 9 {
			break
		}
		v = v*10 + uint64(c)
		d.p++
	}
	n.mantissa = v
	n.digits += d.p - start
	return d.p - start
}

// skipNumber skips a number. The reference refuses an exponent beyond the range of a float64, or of a float32 when
// the number begins with a zero; so that is an error here too.
func (d *decoder) skipNumber() {
	at := d.p
	n := d.number()
	if d.err != nil || !n.exponent {
		return
	}
	size := 64
	if n.text[0] == '0' {
		size = 32
	}
	if _, err := strconv.ParseFloat(alias(n.text), size); err != nil {
		d.p = at
		d.fail(outOfRange)
	}
}

// float reads a number, or a string as strconv.ParseFloat takes it: NaN, Infinity and -Infinity are among them.
func (d *decoder) float() float64 {
	c := d.next()
	d.p--
	at := d.p
	var s string
	switch {
	case c == '-' || c-'0' <= 9:
		n := d.number()
		if d.err != nil {
			return 0
		}
		if n.digits <= 19 && !n.exponent && n.mantissa < 1<<53 && n.fraction < len(pow10) {
			f := float64(n.mantissa) / pow10[n.fraction] // both exact, so the quotient is rounded once
			if n.negative {
				f = -f
			}
			return f
		}
		s = alias(n.text)
	case c == '"':
		s = alias(d.str0())
		if d.err != nil {
			return 0
		}
	default:
		d.p++
		d.unexpected("a number")
		return 0
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		d.p = at
		d.fail("this is no number in the range of a float64")
	}
	return f
}

// enum reads the number of an enum, or its name by names, which returns -1 for those it does not know.
func (d *decoder) enum(names func(string) int32) int32 {
	c := d.next()
	d.p--
	if c != '"' {
		return d.int32()
	}
	at := d.p
	s := alias(d.str0())
	if d.err != nil {
		return 0
	}
	v := names(s)
	if v < 0 {
		d.p = at
		d.fail("the name is none of its enum")
	}
	return v
}

// base64 reads a string of base64. The result is valid until the next call.
func (d *decoder) base64() []byte {
	at := d.p
	s := d.rawString()
	if need := base64.StdEncoding.DecodedLen(len(s)); cap(d.bytes) < need {
		d.bytes = make([]byte, need)
	}
	n, err := base64.StdEncoding.Decode(d.bytes[:cap(d.bytes)], s)
	if err != nil {
		d.p = at
		d.fail("a string is not base64")
		return nil
	}
	return d.bytes[:n]
}

// uint64s appends an array of integers to d.ints.
func (d *decoder) uint64s() []uint64 {
	d.ints = d.ints[:0]
	if d.array() {
		for d.element() {
			d.ints = append(d.ints, d.uint64())
		}
	}
	return d.ints
}

// float64s appends an array of numbers to d.floats.
func (d *decoder) float64s() []float64 {
	d.floats = d.floats[:0]
	if d.array() {
		for d.element() {
			d.floats = append(d.floats, d.float())
		}
	}
	return d.floats
}
