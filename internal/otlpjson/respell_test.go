// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// respeller writes a document of the reference's marshaler as other writers may. What it does besides
// spelling (fields and elements that are there twice, null in place of a value, numbers of another type) may change
// the document's meaning or make it wrong: then too both decoders have to agree.
type respeller struct {
	*rand.Rand
	wild bool // also change the meaning
	out  bytes.Buffer
}

// enumNames has the names by which a field's number may be spelled.
var enumNames = map[string]func(n string) string{
	"kind": func(n string) string {
		return map[string]string{"1": "SPAN_KIND_INTERNAL", "2": "SPAN_KIND_SERVER", "3": "SPAN_KIND_CLIENT", "4": "SPAN_KIND_PRODUCER", "5": "SPAN_KIND_CONSUMER"}[n]
	},
	"code": func(n string) string {
		return map[string]string{"1": "STATUS_CODE_OK", "2": "STATUS_CODE_ERROR"}[n]
	},
	"aggregationTemporality": func(n string) string {
		return map[string]string{"1": "AGGREGATION_TEMPORALITY_DELTA", "2": "AGGREGATION_TEMPORALITY_CUMULATIVE"}[n]
	},
	"severityNumber": func(n string) string {
		var v int
		fmt.Sscan(n, &v)
		if v < 2 || v > 24 { // 1 is a deviation with a test of its own
			return ""
		}
		name := "SEVERITY_NUMBER_" + []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}[(v-1)/4]
		if step := (v-1)%4 + 1; step > 1 {
			name += fmt.Sprint(step)
		}
		return name
	},
}

func (r *respeller) chance(n int) bool { return r.IntN(n) == 0 }

func (r *respeller) space() {
	if r.chance(10) {
		r.out.WriteString([]string{" ", "\n", "\t ", "\r\n", "     "}[r.IntN(5)])
	}
}

// value copies the next value of doc, that of the field name.
func (r *respeller) value(dec *json.Decoder, name string) {
	r.space()
	defer r.space()
	t, err := dec.Token()
	if err != nil {
		panic(err)
	}
	switch t := t.(type) {
	case json.Delim:
		r.composite(dec, t)
	case string:
		r.string(t, name)
	case json.Number:
		r.number(string(t), name)
	case bool:
		fmt.Fprint(&r.out, t)
	case nil:
		r.out.WriteString("null")
	}
}

func (r *respeller) composite(dec *json.Decoder, open json.Delim) {
	var parts [][]byte
	for dec.More() {
		sub := respeller{Rand: r.Rand, wild: r.wild}
		key := ""
		if open == '{' {
			t, err := dec.Token()
			if err != nil {
				panic(err)
			}
			key = t.(string)
			spelled := key
			if r.chance(4) {
				spelled = snake(key)
			}
			sub.space()
			sub.quote(spelled, 30)
			sub.space()
			sub.out.WriteByte(':')
		}
		sub.value(dec, key)
		parts = append(parts, sub.out.Bytes())
		if r.wild && r.chance(100) {
			parts = append(parts, sub.out.Bytes())
		}
		if r.wild && r.chance(200) {
			name, _, _ := bytes.Cut(sub.out.Bytes(), []byte(":"))
			parts[len(parts)-1] = []byte(string(name) + ":null")
		}
	}
	if _, err := dec.Token(); err != nil {
		panic(err)
	}
	if open == '{' {
		if r.chance(8) {
			parts = append(parts, []byte(unknowns[r.IntN(len(unknowns))]))
		}
		if r.chance(3) {
			r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		}
	}
	r.out.WriteByte(byte(open))
	r.space()
	r.out.Write(bytes.Join(parts, []byte(",")))
	r.out.WriteByte(byte(open) + 2) // the bracket that closes
}

// unknowns are fields that OTLP does not have, and those that pdata has no API for.
var unknowns = []string{
	`"x":1`, `"new":{"a":[1,-2.5e3,"s\"\u00e9",null,true,false,{}],"b":[]}`, `"y":"text \\ \ud83d\ude00"`, `"z":-0.5`, `"Name":"case"`,
	`"n":null`, `"exp":1E+5`, `"resourceSpan":[[[[]]]]`, `"zero":0`, `"keyStrindex":7`, `"entityRefs":[{"type":"service","idKeys":["a"],"new":1}]`,
	`"stringValueStrindex":"3"`, `"deprecatedScopeSpans":[{"schemaUrl":"old","spans":[{"name":"old"}]}]`, `"deprecatedScopeLogs":[{"schemaUrl":"old"}]`,
	`"deprecatedScopeMetrics":[{"schemaUrl":"old"}]`,
}

func snake(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c >= 'A' && c <= 'Z' {
			b.WriteByte('_')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}

func (r *respeller) string(s, name string) {
	isInt := strings.HasSuffix(name, "UnixNano") || strings.HasSuffix(name, "Count") || name == "intValue" || name == "asInt" || name == "count" || name == "bucketCounts"
	switch {
	case isInt && r.chance(2):
		r.out.WriteString(s)
	case strings.HasSuffix(name, "Id") || name == "bytesValue":
		if r.chance(4) && name != "bytesValue" {
			s = strings.ToUpper(s)
		}
		if r.wild {
			r.quote(s, 1000)
		} else {
			fmt.Fprintf(&r.out, `"%s"`, s)
		}
	default:
		r.quote(s, 20)
	}
}

func (r *respeller) number(n, name string) {
	names, enum := enumNames[name]
	switch {
	case enum && r.chance(2) && names(n) != "":
		r.quote(names(n), 100)
	case r.chance(3) && (!enum || r.wild):
		r.quote(n, 100)
	case r.wild && r.chance(20):
		r.out.WriteString([]string{n + ".0", n + "e0", "-" + n, n + "00000000000", "0" + n, "NaN", `"Infinity"`, `"-inf"`, `"0x1p-2"`, `"+1"`, "true", `""`}[r.IntN(12)])
	default:
		r.out.WriteString(n)
	}
}

// quote writes a string with one of n characters spelled as an escape that need not be.
func (r *respeller) quote(s string, n int) {
	r.out.WriteByte('"')
	for len(s) > 0 {
		c, size := utf8.DecodeRuneInString(s)
		raw := s[:size]
		s = s[size:]
		short := map[rune]string{'\n': `\n`, '\t': `\t`, '\r': `\r`, '\b': `\b`, '\f': `\f`, '"': `\"`, '\\': `\\`, '/': `\/`}[c]
		switch {
		case c == utf8.RuneError:
			r.out.WriteString(raw)
		case short != "" && (c != '/' || r.chance(2)):
			r.out.WriteString(short)
		case c < ' ' || r.chance(n):
			if hi, lo := utf16.EncodeRune(c); hi != utf8.RuneError {
				fmt.Fprintf(&r.out, `\u%04x\u%04X`, hi, lo)
			} else {
				fmt.Fprintf(&r.out, `\u%04X`, c)
			}
		default:
			r.out.WriteString(raw)
		}
	}
	if r.wild && r.chance(50) {
		r.out.WriteString([]string{`\ud800`, `\udc00x`, `\ud800\n`, `\ud800\ud800\udc00`, `\ud800\u0041`, `\x`, `\u12g4`, "\x01", "\\n\x01", `\ud83d\ude00`}[r.IntN(10)])
	}
	r.out.WriteByte('"')
}

func respell(rnd *rand.Rand, doc []byte, wild bool) []byte {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	r := respeller{Rand: rnd, wild: wild}
	r.value(dec, "")
	return r.out.Bytes()
}

// damage changes, removes or repeats a few bytes.
func damage(rnd *rand.Rand, doc []byte) []byte {
	doc = bytes.Clone(doc)
	for range 1 + rnd.IntN(3) {
		if len(doc) == 0 {
			return doc
		}
		i := rnd.IntN(len(doc))
		j := min(len(doc), i+rnd.IntN(1+int(math.Exp(rnd.Float64()*5))))
		switch rnd.IntN(4) {
		case 0:
			doc[i] = "{}[],:\"\\0-n\x00 "[rnd.IntN(13)]
		case 1:
			doc = append(doc[:i:i], doc[j:]...)
		case 2:
			doc = append(doc[:j:j], doc[i:]...)
		case 3:
			doc = doc[:i]
		}
	}
	return doc
}
