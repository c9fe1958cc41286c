// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package jsontext appends JSON strings and numbers (RFC 8259) to a buffer, as all of Tailrace's hand-written encoders spell them.
// The functions return the longer buffer, like append, keep nothing, and may be called from several goroutines on different buffers.
package jsontext

import (
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

const (
	hexDigits = "0123456789abcdef"

	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// AppendString appends s as a JSON string and reports whether it was UTF-8: each byte that is not becomes U+FFFD.
func AppendString[S []byte | string](to []byte, s S) (out []byte, whole bool) {
	whole = true
	to = append(to, '"')
	start := 0 // of what is not yet copied
	for i := plain(s, 0); i < len(s); i = plain(s, i) {
		c := s[i]
		if c >= utf8.RuneSelf {
			if size := runeSize(s[i:]); size > 0 {
				i += size
				continue
			}
			to = append(append(to, s[start:i]...), "\ufffd"...)
			whole = false
		} else {
			to = append(to, s[start:i]...)
			switch c {
			case '\\', '"':
				to = append(to, '\\', c)
			case '\n':
				to = append(to, '\\', 'n')
			case '\r':
				to = append(to, '\\', 'r')
			case '\t':
				to = append(to, '\\', 't')
			default:
				to = append(to, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
			}
		}
		i++
		start = i
	}
	return append(append(to, s[start:]...), '"'), whole
}

// plain returns where the first byte at or behind i is that can't be copied unseen: no ASCII, or to be escaped.
func plain[S []byte | string](s S, i int) int {
	for ; i+8 <= len(s); i += 8 {
		b := s[i : i+8]
		w := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, slash := w^ones*'"', w^ones*'\\'
		// Each term has the high bit of the lowest byte that is sought; those above it may be wrong.
		if found := (w | (quote-ones)&^quote | (slash-ones)&^slash | (w-ones*' ')&^w) & highs; found != 0 {
			return i + bits.TrailingZeros64(found)>>3
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// runeSize is the length of the character that s begins with, 0 when it is none.
func runeSize[S []byte | string](s S) int {
	var head [utf8.UTFMax]byte
	n := copy(head[:], s)
	if r, size := utf8.DecodeRune(head[:n]); r != utf8.RuneError || size > 1 {
		return size
	}
	return 0
}

// AppendFloat appends a number, or one of the strings that protobuf's JSON has for what JSON lacks: "NaN", "Infinity", "-Infinity".
func AppendFloat(to []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(to, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(to, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(to, `"-Infinity"`...)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) { // as encoding/json
		format = 'e'
	}
	return strconv.AppendFloat(to, f, format, -1, 64)
}
