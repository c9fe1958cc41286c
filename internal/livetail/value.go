// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetail

import (
	"encoding/binary"
	"math"
)

// ValueKind says which of a Value's fields holds it.
type ValueKind byte

// Kinds of a value.
const (
	KindEmpty  = ValueKind(tagEmpty)
	KindString = ValueKind(tagString)
	KindBool   = ValueKind(tagBool)
	KindInt    = ValueKind(tagInt)
	KindDouble = ValueKind(tagDouble)
	KindMap    = ValueKind(tagMap)
	KindSlice  = ValueKind(tagSlice)
	KindBytes  = ValueKind(tagBytes)
)

// Value is one attribute value or body. For KindMap and KindSlice, Len elements follow in the Fields that it was
// read from: a key string and a value each, or a value each.
type Value struct {
	Kind   ValueKind
	Str    []byte // KindString, KindBytes
	Int    int64
	Double float64
	Bool   bool
	Len    int
}

// Value reads one value. The elements of a map or slice must be read, or skipped with Skip, by the caller.
func (f *Fields) Value() Value {
	v := Value{Kind: ValueKind(f.Byte())}
	switch v.Kind {
	case KindString, KindBytes:
		v.Str = f.String()
	case KindBool:
		v.Bool = f.Byte() != 0
	case KindInt:
		v.Int = int64(f.Uint64())
	case KindDouble:
		v.Double = math.Float64frombits(f.Uint64())
	case KindMap, KindSlice:
		v.Len = f.Count()
	}
	return v
}

// Skip passes over the elements of v.
func (f *Fields) Skip(v Value) {
	for range v.Len {
		if v.Kind == KindMap {
			f.String()
		}
		f.pass()
	}
}

// Attribute returns the value of the attribute named key, looking at the attributes that f stands before. f itself
// does not move. Maps and slices are reported without their elements.
func (f Fields) Attribute(key string) (Value, bool) {
	for range f.Count() {
		if k := f.String(); string(k) == key {
			return f.Value(), true
		}
		f.pass()
	}
	return Value{}, false
}

// pass goes over one value with its elements, without looking at it.
func (f *Fields) pass() {
	switch kind := ValueKind(f.Byte()); kind {
	case KindString, KindBytes:
		f.String()
	case KindBool:
		f.b = f.b[1:]
	case KindInt, KindDouble:
		f.b = f.b[8:]
	case KindMap, KindSlice:
		f.Skip(Value{Kind: kind, Len: f.Count()})
	}
}

// Number is the value as a float, if it is one.
func (v Value) Number() (float64, bool) {
	switch v.Kind {
	case KindInt:
		return float64(v.Int), true
	case KindDouble:
		return v.Double, true
	default:
		return 0, false
	}
}

func putUint16(b []byte, at, n int) { binary.LittleEndian.PutUint16(b[at:], uint16(n)) }
