// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
)

type value = pcommon.Value

// maxKeys is how many attributes a map gets here. pdata searches a map for the key before it adds one, so that
// more are quadratic, and can't hold a key twice: such a document is left to the reference, which appends.
const maxKeys = 128

// hints are how many elements the last map of each kind had: records of a stream are alike, and room that is made
// once saves four or five allocations a map.
type hints struct {
	resource, scope, record, event, kvlist int
}

// maxHint bounds what a wrong hint can waste.
const maxHint = 32

// putStr adds a key with a string to a map.
func (d *decoder) putStr(m pcommon.Map, key, s string) {
	n := m.Len()
	if d.rare || n >= maxKeys {
		d.rare = true
		return
	}
	m.PutStr(key, s)
	if m.Len() == n { // it was there
		d.rare = true
	}
}

// put adds a key to a map.
func (d *decoder) put(m pcommon.Map, key string) value {
	n := m.Len()
	if d.rare || n >= maxKeys {
		d.rare = true
		return d.trash
	}
	v := m.PutEmpty(key)
	if m.Len() == n { // it was there
		d.rare = true
	}
	return v
}

// attributes reads an array of attributes into a map.
func (d *decoder) attributes(m pcommon.Map, hint *int) {
	if !d.array() {
		return
	}
	for d.element() {
		if m.Len() == 0 && *hint > 1 {
			// An attribute has 30 bytes at least, so that what is left of the document bounds it too.
			m.EnsureCapacity(min(*hint, maxHint, (d.n-d.p)/30))
		}
		d.keyValue(m)
	}
	*hint = m.Len()
}

// The beginnings of attributes and values as all writers without white space spell them, as 8 bytes at once.
var (
	wordKey    = word8(`{"key":"`)
	wordValue  = word8(`,"value"`)
	wordString = word8(`stringVa`)
	wordInt    = word8(`intValue`)
)

func word8(s string) uint64 {
	var w uint64
	for i := range 8 {
		w |= uint64(s[i]) << (8 * i)
	}
	return w
}

// keyValue reads an attribute.
func (d *decoder) keyValue(m pcommon.Map) {
	if d.load(d.p) == wordKey {
		start := d.p + 8
		end := d.stringEnd(start)
		if d.b[end] == '"' && d.load(end+1) == wordValue && d.b[end+9] == ':' {
			d.p = end + 10
			d.keyValueFrom(m, text(d.b[start:end]))
			return
		}
	}
	if !d.object() {
		if d.err == nil {
			d.put(m, "")
		}
		return
	}
	d.keyValueFields(m, value{}, false)
}

// keyValueFrom reads an attribute from its value on.
func (d *decoder) keyValueFrom(m pcommon.Map, key string) {
	if !d.open() {
		return
	}
	d.first = false
	var v value
	if d.stringValue() {
		if d.depth++; d.depth > MaxDepth {
			d.depth--
			d.open()
			return
		}
		s := d.str()
		d.putStr(m, key, s)
		if d.b[d.p] == '}' && d.b[d.p+1] == '}' {
			d.p += 2
			d.depth -= 2
			return
		}
		if v = d.trash; !d.rare {
			v, _ = m.Get(key)
		}
		d.valueFields(v)
	} else {
		v = d.put(m, key)
		d.value(v)
	}
	if d.b[d.p] == '}' {
		d.p++
		d.depth--
		return
	}
	d.keyValueFields(m, v, true)
}

// stringValue moves behind the beginning of a value that is a string, to its quote.
func (d *decoder) stringValue() bool {
	if d.b[d.p] == '{' && d.b[d.p+1] == '"' && d.load(d.p+2) == wordString && string(d.b[d.p+10:d.p+16]) == `lue":"` {
		d.p += 15
		return true
	}
	return false
}

// keyValueFields reads the fields of an attribute, of which the key may be known and put into the map already.
func (d *decoder) keyValueFields(m pcommon.Map, v value, known bool) {
	var early value // what comes before its key
	waiting := false
	for d.field() {
		switch string(d.key) {
		case "key":
			key := d.str()
			switch {
			case d.err != nil:
				return
			case known:
				d.rare = true // a second one, which replaces the first
			default:
				v, known = d.put(m, key), true
			}
		case "value":
			if !known && !waiting {
				early, waiting = pcommon.NewValueEmpty(), true
			}
			if known {
				d.value(v)
			} else {
				d.value(early)
			}
		case "keyStrindex", "key_strindex":
			d.int32()
			d.rare = true
		default:
			d.unknown()
		}
		if known && waiting {
			early.MoveTo(v)
			waiting = false
		}
	}
	if known || d.err != nil {
		return
	}
	v = d.put(m, "")
	if waiting {
		early.MoveTo(v)
	}
}

// value reads an AnyValue.
func (d *decoder) value(v value) {
	if d.b[d.p] == '{' && d.b[d.p+1] == '"' {
		switch d.load(d.p + 2) {
		case wordString:
			if string(d.b[d.p+10:d.p+16]) == `lue":"` {
				d.p += 15
				d.valueFrom(v, '"')
				return
			}
		case wordInt:
			if d.b[d.p+10] == '"' && d.b[d.p+11] == ':' {
				d.p += 12
				d.valueFrom(v, '0')
				return
			}
		}
	}
	if d.object() {
		d.valueFields(v)
	}
}

// valueFrom reads a value whose field's name is read, and the rest of the object.
func (d *decoder) valueFrom(v value, kind byte) {
	if !d.open() {
		return
	}
	d.first = false
	if kind == '"' {
		v.SetStr(d.str())
	} else {
		v.SetInt(d.int64())
	}
	if d.b[d.p] == '}' {
		d.p++
		d.depth--
		return
	}
	d.valueFields(v)
}

func (d *decoder) valueFields(v value) {
	for d.field() {
		switch string(d.key) {
		case "stringValue", "string_value":
			v.SetStr(d.str())
		case "boolValue", "bool_value":
			v.SetBool(d.bool())
		case "intValue", "int_value":
			v.SetInt(d.int64())
		case "doubleValue", "double_value":
			v.SetDouble(d.float())
		case "arrayValue", "array_value":
			d.arrayValue(v.SetEmptySlice())
		case "kvlistValue", "kvlist_value":
			d.kvlistValue(v.SetEmptyMap())
		case "bytesValue", "bytes_value":
			to := v.SetEmptyBytes()
			if b := d.base64(); len(b) > 0 {
				to.FromRaw(b)
			}
		case "stringValueStrindex", "string_value_strindex":
			d.int32()
			d.rare = true
		default:
			d.unknown()
		}
	}
}

func (d *decoder) arrayValue(s pcommon.Slice) {
	if !d.object() {
		return
	}
	for d.field() {
		if string(d.key) != "values" {
			d.unknown()
			continue
		}
		if d.array() {
			for d.element() {
				d.value(s.AppendEmpty())
			}
		}
	}
}

func (d *decoder) kvlistValue(m pcommon.Map) {
	if !d.object() {
		return
	}
	for d.field() {
		if string(d.key) != "values" {
			d.unknown()
			continue
		}
		d.attributes(m, &d.hints.kvlist)
	}
}

func (d *decoder) resource(r pcommon.Resource) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key) {
		case "attributes":
			d.attributes(r.Attributes(), &d.hints.resource)
		case "droppedAttributesCount", "dropped_attributes_count":
			r.SetDroppedAttributesCount(d.uint32())
		case "entityRefs", "entity_refs":
			d.entityRefs()
		default:
			d.unknown()
		}
	}
}

// entityRefs checks the references to entities, which pdata has no stable API for.
func (d *decoder) entityRefs() {
	if !d.array() {
		return
	}
	for d.element() {
		d.rare = true
		if !d.object() {
			continue
		}
		for d.field() {
			switch string(d.key) {
			case "schemaUrl", "schema_url", "type":
				d.str()
			case "idKeys", "id_keys", "descriptionKeys", "description_keys":
				if d.array() {
					for d.element() {
						d.str()
					}
				}
			default:
				d.unknown()
			}
		}
	}
}

func (d *decoder) scope(s pcommon.InstrumentationScope) {
	if !d.object() {
		return
	}
	for d.field() {
		switch string(d.key) {
		case "name":
			s.SetName(d.str())
		case "version":
			s.SetVersion(d.str())
		case "attributes":
			d.attributes(s.Attributes(), &d.hints.scope)
		case "droppedAttributesCount", "dropped_attributes_count":
			s.SetDroppedAttributesCount(d.uint32())
		default:
			d.unknown()
		}
	}
}
