// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
)

type value = pcommon.Value

// hints are how many elements the last map of each kind had: records of a stream are alike, and room that is made
// once saves four or five allocations a map.
type hints struct {
	resource, scope, record, event, kvlist, points int

	strings, attributes, text int // in the last document
}

// maxHint bounds what a wrong hint can waste.
const maxHint = 32

// attributes reads an array of attributes into a map.
func (d *decoder) attributes(to pcommon.Map, hint *int) {
	if !d.array() {
		return
	}
	m := attributesOf(to)
	if !layoutKnown { // the reference decodes it
		m = &mapLayout{orig: new([]keyValue)}
	}
	var room []keyValue
	end := 0
	for d.element() {
		if *m.orig == nil {
			room = d.room(*hint)
			*m.orig, end = room, d.attrs.used
		}
		*m.orig = append(*m.orig, keyValue{})
		d.keyValue(m, &(*m.orig)[len(*m.orig)-1])
	}
	n := len(*m.orig)
	*hint = n
	if end > 0 && n <= cap(room) && d.attrs.used == end && &d.attrs.all[end-1] == &room[:cap(room)][cap(room)-1] {
		// The last room that was made, and enough: what is left of it goes to the next map.
		d.attrs.used -= cap(room) - n
		d.attrs.total -= cap(room) - n
		*m.orig = room[:n:n]
	}
}

// maxAttributes is how many attributes share an allocation at most.
const maxAttributes = 128

// room makes room for about n attributes.
func (d *decoder) room(n int) []keyValue {
	// An attribute has 30 bytes at least, so that what is left of the document bounds it too.
	left := (d.n-d.p)/30 + 1
	n = min(max(n, 2), maxHint, left)
	if d.attrs.used+n > len(d.attrs.all) {
		d.attrs.all, d.attrs.used = make([]keyValue, max(n, min(max(d.hints.attributes-d.attrs.total, 16), maxAttributes, left))), 0
	}
	return d.attrs.take(n)[:0]
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

// keyValue reads an attribute of m.
func (d *decoder) keyValue(m *mapLayout, kv *keyValue) {
	if d.load(d.p) != wordKey {
		if d.object() {
			d.keyValueFields(m, kv)
		}
		return
	}
	if !d.open() {
		return
	}
	d.p += 7
	kv.Key = d.name(d.str0())
	if d.load(d.p) == wordValue && d.b[d.p+8] == ':' {
		d.p += 9
		if d.stringValue() {
			if !d.open() {
				return
			}
			s := d.str()
			if layoutKnown {
				kv.Value = d.newString(s)
			}
			d.first = false
			if d.b[d.p] == '}' && d.b[d.p+1] == '}' {
				d.p += 2
				d.depth -= 2
				return
			}
			d.valueFields(valueOf(m, kv))
		} else {
			d.value(valueOf(m, kv))
		}
	}
	d.first = false
	d.keyValueFields(m, kv)
}

// stringValue moves behind the beginning of a value that is a string, to its quote.
func (d *decoder) stringValue() bool {
	if d.b[d.p] == '{' && d.b[d.p+1] == '"' && d.load(d.p+2) == wordString && string(d.b[d.p+10:d.p+16]) == `lue":"` {
		d.p += 15
		return true
	}
	return false
}

func (d *decoder) keyValueFields(m *mapLayout, kv *keyValue) {
	for d.field() {
		switch string(d.key()) {
		case "key":
			kv.Key = d.name(d.str0())
		case "value":
			d.value(valueOf(m, kv))
		case "keyStrindex", "key_strindex":
			kv.KeyStrindex = d.int32()
		default:
			d.unknown()
		}
	}
}

// value reads an AnyValue.
func (d *decoder) value(v value) {
	switch {
	case d.stringValue():
		if !d.open() {
			return
		}
		d.setString(v, d.str())
		d.first = false
	case d.b[d.p] == '{' && d.b[d.p+1] == '"' && d.load(d.p+2) == wordInt && d.b[d.p+10] == '"' && d.b[d.p+11] == ':':
		d.p += 12
		if !d.open() {
			return
		}
		v.SetInt(d.int64())
		d.first = false
	default:
		if !d.object() {
			return
		}
	}
	d.valueFields(v)
}

func (d *decoder) valueFields(v value) {
	for d.field() {
		switch string(d.key()) {
		case "stringValue", "string_value":
			d.setString(v, d.str())
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
		if string(d.key()) != "values" {
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
		if string(d.key()) != "values" {
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
		switch string(d.key()) {
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
			switch string(d.key()) {
			case "schemaUrl", "schema_url", "type":
				d.str0()
			case "idKeys", "id_keys", "descriptionKeys", "description_keys":
				if d.array() {
					for d.element() {
						d.str0()
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
		switch string(d.key()) {
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
