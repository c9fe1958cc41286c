// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/xpdata/entity"

	"github.com/tailrace/tailrace/internal/jsontext"
)

// AttrRepaired marks a record (or a resource, a scope) in which bytes had to be replaced.
const AttrRepaired = "tailrace.repaired"

// maxDepth bounds nested values: common JSON readers stop at 10,000 levels or far earlier (jq 1.6: 256),
// one value nests three of them, and a line that nobody can read is a lost line.
const maxDepth = 64

// tooDeep stands where a value nested deeper than maxDepth was.
const tooDeep = "(nested too deep)"

// buffer appends OTLP/JSON to buf, byte for byte as pdata's own marshalers do for valid input.
type buffer struct {
	buf []byte
	// damaged is set when invalid UTF-8 or a too deep value was replaced.
	damaged bool
}

func (b *buffer) raw(s string) { b.buf = append(b.buf, s...) }

// key starts a field. k is the quoted name with its colon, `"name":`. No value ends in '{', so that byte
// is there only right after an object was opened.
func (b *buffer) key(k string) {
	if b.buf[len(b.buf)-1] != '{' {
		b.buf = append(b.buf, ',')
	}
	b.buf = append(b.buf, k...)
}

// elem separates the elements of an array, by the same reasoning.
func (b *buffer) elem() {
	if b.buf[len(b.buf)-1] != '[' {
		b.buf = append(b.buf, ',')
	}
}

// str appends a JSON string. Bytes that are no UTF-8 become U+FFFD each.
func (b *buffer) str(s string) {
	var whole bool
	b.buf, whole = jsontext.AppendString(b.buf, s)
	b.damaged = b.damaged || !whole
}

func (b *buffer) float(f float64) { b.buf = jsontext.AppendFloat(b.buf, f) }

// int64 and uint64 are strings in protobuf JSON.
func (b *buffer) int64(v int64) {
	b.buf = append(strconv.AppendInt(append(b.buf, '"'), v, 10), '"')
}

func (b *buffer) uint64(v uint64) {
	b.buf = append(strconv.AppendUint(append(b.buf, '"'), v, 10), '"')
}

func (b *buffer) keyStr(k, v string) {
	if v != "" {
		b.key(k)
		b.str(v)
	}
}

func (b *buffer) keyUint64(k string, v uint64) {
	if v != 0 {
		b.key(k)
		b.uint64(v)
	}
}

func (b *buffer) keyInt32(k string, v int32) {
	if v != 0 {
		b.key(k)
		b.buf = strconv.AppendInt(b.buf, int64(v), 10)
	}
}

func (b *buffer) keyUint32(k string, v uint32) {
	if v != 0 {
		b.key(k)
		b.buf = strconv.AppendUint(b.buf, uint64(v), 10)
	}
}

func (b *buffer) keyFloat(k string, v float64) {
	b.key(k)
	b.float(v)
}

func (b *buffer) keyTraceID(k string, id pcommon.TraceID) {
	if !id.IsEmpty() {
		b.key(k)
		b.buf = append(hex.AppendEncode(append(b.buf, '"'), id[:]), '"')
	}
}

func (b *buffer) keySpanID(k string, id pcommon.SpanID) {
	if !id.IsEmpty() {
		b.key(k)
		b.buf = append(hex.AppendEncode(append(b.buf, '"'), id[:]), '"')
	}
}

// attributes appends the field k with the elements of m, and AttrRepaired if mark is set.
func (b *buffer) attributes(k string, m pcommon.Map, mark bool) {
	if m.Len() == 0 && !mark {
		return
	}
	b.key(k)
	b.buf = append(b.buf, '[')
	b.keyValues(m, 0)
	if mark {
		b.elem()
		b.raw(`{"key":"` + AttrRepaired + `","value":{"boolValue":true}}`)
	}
	b.buf = append(b.buf, ']')
}

func (b *buffer) keyValues(m pcommon.Map, depth int) {
	m.Range(func(k string, v pcommon.Value) bool {
		b.elem()
		b.buf = append(b.buf, '{')
		b.keyStr(`"key":`, k)
		b.key(`"value":`)
		b.value(v, depth)
		b.buf = append(b.buf, '}')
		return true
	})
}

func (b *buffer) value(v pcommon.Value, depth int) {
	b.buf = append(b.buf, '{')
	switch v.Type() {
	case pcommon.ValueTypeStr:
		b.raw(`"stringValue":`)
		b.str(v.Str())
	case pcommon.ValueTypeBool:
		b.raw(`"boolValue":`)
		b.buf = strconv.AppendBool(b.buf, v.Bool())
	case pcommon.ValueTypeInt:
		b.raw(`"intValue":`)
		b.int64(v.Int())
	case pcommon.ValueTypeDouble:
		b.raw(`"doubleValue":`)
		b.float(v.Double())
	case pcommon.ValueTypeBytes:
		b.raw(`"bytesValue":"`)
		// AsRaw copies; bytes are rare.
		b.buf = base64.StdEncoding.AppendEncode(b.buf, v.Bytes().AsRaw())
		b.buf = append(b.buf, '"')
	case pcommon.ValueTypeSlice, pcommon.ValueTypeMap:
		b.nested(v, depth+1)
	}
	b.buf = append(b.buf, '}')
}

func (b *buffer) nested(v pcommon.Value, depth int) {
	if depth > maxDepth {
		b.damaged = true
		b.raw(`"stringValue":"` + tooDeep + `"`)
		return
	}
	if v.Type() == pcommon.ValueTypeMap {
		b.raw(`"kvlistValue":{`)
		if m := v.Map(); m.Len() > 0 {
			b.raw(`"values":[`)
			b.keyValues(m, depth)
			b.buf = append(b.buf, ']')
		}
		b.buf = append(b.buf, '}')
		return
	}
	b.raw(`"arrayValue":{`)
	if s := v.Slice(); s.Len() > 0 {
		b.raw(`"values":[`)
		for i := range s.Len() {
			b.elem()
			b.value(s.At(i), depth)
		}
		b.buf = append(b.buf, ']')
	}
	b.buf = append(b.buf, '}')
}

func (b *buffer) resource(r pcommon.Resource, mark bool) {
	b.buf = append(b.buf, '{')
	b.attributes(`"attributes":`, r.Attributes(), mark)
	b.keyUint32(`"droppedAttributesCount":`, r.DroppedAttributesCount())
	if refs := entity.ResourceEntityRefs(r); refs.Len() > 0 {
		b.key(`"entityRefs":`)
		b.buf = append(b.buf, '[')
		for i := range refs.Len() {
			ref := refs.At(i)
			b.elem()
			b.buf = append(b.buf, '{')
			b.keyStr(`"schemaUrl":`, ref.SchemaUrl())
			b.keyStr(`"type":`, ref.Type())
			b.strings(`"idKeys":`, ref.IdKeys())
			b.strings(`"descriptionKeys":`, ref.DescriptionKeys())
			b.buf = append(b.buf, '}')
		}
		b.buf = append(b.buf, ']')
	}
	b.buf = append(b.buf, '}')
}

func (b *buffer) strings(k string, s pcommon.StringSlice) {
	if s.Len() == 0 {
		return
	}
	b.key(k)
	b.buf = append(b.buf, '[')
	for i := range s.Len() {
		b.elem()
		b.str(s.At(i))
	}
	b.buf = append(b.buf, ']')
}

func (b *buffer) scope(s pcommon.InstrumentationScope, mark bool) {
	b.buf = append(b.buf, '{')
	b.keyStr(`"name":`, s.Name())
	b.keyStr(`"version":`, s.Version())
	b.attributes(`"attributes":`, s.Attributes(), mark)
	b.keyUint32(`"droppedAttributesCount":`, s.DroppedAttributesCount())
	b.buf = append(b.buf, '}')
}
