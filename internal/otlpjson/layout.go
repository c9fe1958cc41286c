// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"reflect"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// Attributes are the one thing that is not written through pdata's API. It searches the map for a key before it adds
// one, which is quadratic; it can't hold a key twice, as the reference leaves it; and it takes an allocation for
// each string. So the types below repeat those of pdata. layoutKnown compares them with what is linked; if pdata
// ever changes them, a test fails, and until that is mended the reference decodes everything.

// keyValue is internal.KeyValue.
type keyValue struct {
	Key         string
	Value       any // nil or a pointer to a struct with one field; a *stringValue has the type stringType
	KeyStrindex int32
}

// stringValue is internal.AnyValue_StringValue.
type stringValue struct{ StringValue string }

// mapLayout is pcommon.Map.
type mapLayout struct {
	orig  *[]keyValue
	state unsafe.Pointer
}

// valueLayout is pcommon.Value.
type valueLayout struct {
	orig  *any
	state unsafe.Pointer
}

// anyLayout is an interface without methods.
type anyLayout struct{ typ, data unsafe.Pointer }

// stringType is the type word of an any that holds pdata's *stringValue.
var stringType = func() unsafe.Pointer {
	if !layoutKnown {
		return nil
	}
	v := pcommon.NewValueStr("")
	return (*anyLayout)(unsafe.Pointer((*valueLayout)(unsafe.Pointer(&v)).orig)).typ
}()

var layoutKnown = isLayoutKnown()

func isLayoutKnown() bool {
	v := pcommon.NewValueStr("")
	if !alike(reflect.TypeFor[pcommon.Map](), reflect.TypeFor[mapLayout]()) || !alike(reflect.TypeFor[pcommon.Value](), reflect.TypeFor[valueLayout]()) {
		return false
	}
	// What the any of a string holds can only be seen in one.
	held := reflect.ValueOf(v).Field(0).Elem()
	for held.Kind() == reflect.Struct && held.NumField() == 1 {
		held = held.Field(0)
	}
	return held.Kind() == reflect.Interface && !held.IsNil() && held.Elem().Kind() == reflect.Pointer &&
		alike(held.Elem().Type().Elem(), reflect.TypeFor[stringValue]())
}

// alike reports whether theirs has the memory layout of ours, down to the names of fields. Structs of one field, that
// are called AnyValue in pdata, are as good as the field; what we hold as a bare pointer may point to anything.
func alike(theirs, ours reflect.Type) bool {
	if ours.Kind() == reflect.UnsafePointer {
		return theirs.Kind() == reflect.Pointer
	}
	if theirs.Kind() == reflect.Struct && ours.Kind() != reflect.Struct {
		return theirs.NumField() == 1 && theirs.Size() == ours.Size() && alike(theirs.Field(0).Type, ours)
	}
	if theirs.Kind() != ours.Kind() || theirs.Size() != ours.Size() || theirs.Align() != ours.Align() {
		return false
	}
	switch ours.Kind() {
	case reflect.Struct:
		if theirs.NumField() != ours.NumField() {
			return false
		}
		for i := range ours.NumField() {
			t, o := theirs.Field(i), ours.Field(i)
			if t.Name != o.Name || t.Offset != o.Offset || !alike(t.Type, o.Type) {
				return false
			}
		}
		return true
	case reflect.Pointer, reflect.Slice:
		return alike(theirs.Elem(), ours.Elem())
	case reflect.Interface:
		return theirs.NumMethod() == 0 && ours.NumMethod() == 0
	}
	return true
}

// attributesOf is the list in a map.
func attributesOf(m pcommon.Map) *mapLayout { return (*mapLayout)(unsafe.Pointer(&m)) }

// valueOf makes the value of an attribute of m one of pdata; one that goes nowhere when the layout is unknown.
func valueOf(m *mapLayout, kv *keyValue) pcommon.Value {
	if !layoutKnown {
		return pcommon.NewValueEmpty()
	}
	v := valueLayout{orig: &kv.Value, state: m.state}
	return *(*pcommon.Value)(unsafe.Pointer(&v))
}

// setString sets a value to a string. Many of a document share an allocation.
func (d *decoder) setString(v pcommon.Value, s string) {
	if !layoutKnown {
		v.SetStr(s)
		return
	}
	*(*valueLayout)(unsafe.Pointer(&v)).orig = d.newString(s)
}

// maxStrings is how many strings share an allocation at most: one that is kept alive keeps the others too, with the
// document, which they are parts of anyway.
const maxStrings = 512

func (d *decoder) newString(s string) (held any) {
	if d.strings.used == len(d.strings.all) {
		n := min(max(d.hints.strings-d.strings.total, 16), maxStrings, (d.n-d.p)/16+1)
		d.strings.all, d.strings.used = make([]stringValue, n), 0
	}
	p := &d.strings.take(1)[0]
	p.StringValue = s
	(*anyLayout)(unsafe.Pointer(&held)).data = unsafe.Pointer(p)
	(*anyLayout)(unsafe.Pointer(&held)).typ = stringType
	return held
}
