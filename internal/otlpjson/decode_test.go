// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// TestLayoutIsKnown fails when pdata was updated to another layout: then keyValue and the other types of layout.go need
// to be made like those of pdata's internal package again.
func TestLayoutIsKnown(t *testing.T) {
	require.True(t, layoutKnown)

	type other struct {
		Key         string
		KeyStrindex int32
		Value       any
	}
	type fewer struct{ Key string }
	type named struct {
		Name        string
		Value       any
		KeyStrindex int32
	}
	for _, theirs := range []reflect.Type{
		reflect.TypeFor[other](), reflect.TypeFor[fewer](), reflect.TypeFor[named](), reflect.TypeFor[*keyValue](), reflect.TypeFor[string](),
	} {
		assert.False(t, alike(theirs, reflect.TypeFor[keyValue]()), theirs)
	}
	assert.False(t, alike(reflect.TypeFor[fmt.Stringer](), reflect.TypeFor[any]()))
	assert.False(t, alike(reflect.TypeFor[[]int](), reflect.TypeFor[[]string]()))
}

// TestUnknownLayout: without the layout everything still works, by the reference.
func TestUnknownLayout(t *testing.T) {
	defer func(known bool) { layoutKnown = known }(layoutKnown)
	layoutKnown = false
	for _, s := range signals {
		for seed := range uint64(50) {
			g := generator{rand.New(rand.NewPCG(seed, 11))}
			require.True(t, s.agree(t, respell(g.Rand, s.generate(g), false)))
		}
	}
	require.Error(t, DecodeTraces([]byte(`{} x`), ptrace.NewTraces()))
}

func TestDecodeAppends(t *testing.T) {
	td, ld, md := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	for i, doc := range []string{
		`{"resourceSpans":[{"schemaUrl":"0"}],"resourceLogs":[{"schemaUrl":"0"}],"resourceMetrics":[{"schemaUrl":"0"}]}`,
		`{"resourceSpans":[{"schemaUrl":"x"}],"resourceLogs":[{"schemaUrl":"x"}],"resourceMetrics":[{"schemaUrl":"x"}]`,
		`{"resourceSpans":[{"schemaUrl":"x"},{"schemaUrl":5}],"resourceLogs":[{"schemaUrl":"x"},{"schemaUrl":5}],"resourceMetrics":[{"schemaUrl":"x"},{"schemaUrl":5}]}`,
		`{"resourceSpans":[{"schemaUrl":"3"}],"resourceLogs":[{"schemaUrl":"3"}],"resourceMetrics":[{"schemaUrl":"3"}]}`,
	} {
		wrong := i == 1 || i == 2
		assert.Equal(t, wrong, DecodeTraces([]byte(doc), td) != nil)
		assert.Equal(t, wrong, DecodeLogs([]byte(doc), ld) != nil)
		assert.Equal(t, wrong, DecodeMetrics([]byte(doc), md) != nil)
	}
	require.Equal(t, []int{2, 2, 2}, []int{td.ResourceSpans().Len(), ld.ResourceLogs().Len(), md.ResourceMetrics().Len()})
	for i, want := range []string{"0", "3"} {
		assert.Equal(t, want, td.ResourceSpans().At(i).SchemaUrl())
		assert.Equal(t, want, ld.ResourceLogs().At(i).SchemaUrl())
		assert.Equal(t, want, md.ResourceMetrics().At(i).SchemaUrl())
	}
}

// TestNothingOfTheDocumentIsKept: what is decoded stays as it is when the caller writes over the document, and when
// others are decoded.
func TestNothingOfTheDocumentIsKept(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	for _, s := range signals {
		for range 20 {
			doc := s.generate(g)
			want, err := s.reference(doc)
			require.NoError(t, err)
			got := decodeAndSpoil(t, s.name, doc)
			require.Equal(t, want, got)
		}
	}
}

func decodeAndSpoil(t *testing.T, name string, doc []byte) []byte {
	spoil := func() {
		for i := range doc {
			doc[i] = 'x'
		}
		require.Error(t, DecodeTraces([]byte(strings.Repeat("y", len(doc))), ptrace.NewTraces()))
	}
	var b []byte
	var err error
	switch name {
	case "traces":
		d := ptrace.NewTraces()
		require.NoError(t, DecodeTraces(doc, d))
		spoil()
		b, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(d)
	case "logs":
		d := plog.NewLogs()
		require.NoError(t, DecodeLogs(doc, d))
		spoil()
		b, err = (&plog.ProtoMarshaler{}).MarshalLogs(d)
	case "metrics":
		d := pmetric.NewMetrics()
		require.NoError(t, DecodeMetrics(doc, d))
		spoil()
		b, err = (&pmetric.ProtoMarshaler{}).MarshalMetrics(d)
	}
	require.NoError(t, err)
	return b
}

// TestAttributesCanBeChanged: maps share memory, and must not write into one another when they grow.
func TestAttributesCanBeChanged(t *testing.T) {
	ld := plog.NewLogs()
	doc := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[`
	for i := range 50 {
		if i > 0 {
			doc += ","
		}
		doc += fmt.Sprintf(`{"attributes":[{"key":"a","value":{"stringValue":"a%d"}},{"key":"b","value":{"stringValue":"b%d"}}]}`, i, i)
	}
	doc += `]}]}]}`
	require.NoError(t, DecodeLogs([]byte(doc), ld))
	records := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	for i, r := range records.All() {
		r.Attributes().PutStr("c", fmt.Sprint("c", i))
		r.Attributes().PutStr("a", fmt.Sprint("A", i))
		v, _ := r.Attributes().Get("b")
		v.SetStr(fmt.Sprint("B", i))
	}
	for i, r := range records.All() {
		assert.Equal(t, map[string]any{"a": fmt.Sprint("A", i), "b": fmt.Sprint("B", i), "c": fmt.Sprint("c", i)}, r.Attributes().AsRaw())
	}
	records.At(3).Attributes().RemoveIf(func(string, pcommon.Value) bool { return true })
	assert.Equal(t, 3, records.At(4).Attributes().Len())
	assert.Equal(t, 3, records.At(2).Attributes().Len())
}

func TestErrorsSayWhere(t *testing.T) {
	for doc, want := range map[string]string{
		``:                                  "byte 0: the document ends where an object is expected",
		`{"resourceSpans":[{]}`:             `byte 19: the name of a field is expected, not ']'`,
		`{"resourceSpans":[{}`:              "byte 20: the document ends where a comma or the end of an array is expected",
		`{"resourceSpans":[{"schemaUrl":"a`: "byte 33: a string does not end",
		`{"resourceSpans":[{"schemaUrl":"a\q"}]}`:       "byte 33: this is no escape of JSON",
		"{\"resourceSpans\":[{\"schemaUrl\":\"a\n\"}]}": "byte 33: a control character in a string must be escaped",
		span(`"traceId":"ab"`):                          "an id has the wrong length",
		span(`"spanId":"abcdefghijklmnop"`):             "an id is not hexadecimal",
		span(`"kind":"CLIENT"`):                         "the name is none of its enum",
		span(`"flags":"x"`):                             "the string is no integer in the range of its field",
		span(`"flags":null`):                            `an integer is expected, not 'n'`,
	} {
		assert.ErrorContains(t, DecodeTraces([]byte(doc), ptrace.NewTraces()), want, doc)
	}
}

func TestDigits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		v := rnd.Uint64() >> rnd.IntN(64)
		d := decoder{b: append([]byte(`"`+strconv.FormatUint(v, 10)+`"`), make([]byte, padding)...)}
		d.n = len(d.b) - padding
		require.Equal(t, v, d.uint64())
		require.NoError(t, d.err)
		require.Equal(t, d.n, d.p)
	}
	for _, eight := range []string{"1234567 ", "1234567:", "/2345678", "123\xff5678", "12345\x00", "1234a678", "\xb0\xb1345678"} {
		_, ok := eightDigits(word8(eight + "\x00\x00"))
		assert.False(t, ok, "%q", eight)
	}
	v, ok := eightDigits(word8("90817263"))
	assert.True(t, ok)
	assert.Equal(t, uint64(90817263), v)
}

// TestStringEnd places each of the bytes that may end a string at each offset, behind each byte that may not.
func TestStringEnd(t *testing.T) {
	for c := range 256 {
		ends := c == '"' || c == '\\' || c < ' '
		for at := range 20 {
			for _, fill := range []byte{' ', '!', '#', 'a', 0x7f, 0x80, 0xff} {
				b := []byte(strings.Repeat(string([]byte{fill}), 24))
				b[at] = byte(c)
				d := decoder{b: append(b, make([]byte, padding)...)}
				want := len(b)
				if ends {
					want = at
				}
				require.Equal(t, want, d.stringEnd(0), "%q", b)
			}
		}
	}
}

// TestManyAttributes: a map is not searched for each key that is added, and neither are documents slower by the square of
// anything else. With a search this takes minutes.
func TestManyAttributes(t *testing.T) {
	var doc strings.Builder
	doc.WriteString(`{"resourceLogs":[{"resource":{"attributes":[`)
	const n = 200_000
	for i := range n {
		if i > 0 {
			doc.WriteByte(',')
		}
		fmt.Fprintf(&doc, `{"key":"k%d","value":{"intValue":"%d"}}`, i, i)
	}
	doc.WriteString(`]}}]}`)
	ld := plog.NewLogs()
	require.NoError(t, DecodeLogs([]byte(doc.String()), ld))
	require.Equal(t, n, ld.ResourceLogs().At(0).Resource().Attributes().Len())
}

func TestManyGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			g := generator{rand.New(rand.NewPCG(uint64(i), 5))}
			for range 30 {
				s := signals[g.IntN(len(signals))]
				assert.True(t, s.agree(t, s.generate(g)))
			}
		})
	}
	wg.Wait()
}

func TestDecoderKeepsLittle(t *testing.T) {
	d := &decoder{}
	d.b, d.bytes = make([]byte, keepScratch+1), make([]byte, keepScratch+1)
	d.ints, d.floats = make([]uint64, keepScratch), make([]float64, keepScratch)
	d.texts.all, d.strings.all, d.attrs.all = make([]byte, 1), make([]stringValue, 1), make([]keyValue, 1)
	d.release()
	assert.Nil(t, d.b)
	assert.Nil(t, d.bytes)
	assert.Nil(t, d.ints)
	assert.Nil(t, d.floats)
	assert.Nil(t, d.texts.all)
	assert.Nil(t, d.strings.all)
	assert.Nil(t, d.attrs.all)
}
