// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"slices"
	"sync"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// decoders keeps scratch memory, hints, and names of attributes.
var decoders = sync.Pool{New: func() any { return &decoder{} }}

// keepScratch is how many bytes of each scratch memory a decoder keeps for the next document.
const keepScratch = 1 << 20

// decode reads doc by read, and returns whether it is left to the reference, after it was found to be right.
func decode(doc []byte, read func(*decoder)) (rare bool, err error) {
	d := decoders.Get().(*decoder)
	defer d.release() // also when pdata panics
	d.n, d.rare = len(doc), !layoutKnown
	d.b = append(append(slices.Grow(d.b[:0], len(doc)+padding), doc...), make([]byte, padding)...)
	read(d)
	d.end()
	if d.rare && d.emptyKey {
		d.fail("a field without a name can't be decoded beside entity references or indexes of strings")
	}
	return d.rare, d.err
}

// release forgets the document.
func (d *decoder) release() {
	d.hints.strings, d.hints.attributes, d.hints.text = d.strings.total, d.attrs.total, d.texts.total
	d.p, d.from, d.to, d.depth, d.first, d.err, d.rare, d.emptyKey = 0, 0, 0, 0, false, nil, false, false
	d.strings, d.attrs, d.texts = chunk[stringValue]{}, chunk[keyValue]{}, chunk[byte]{}
	if cap(d.b) > keepScratch {
		d.b = nil
	}
	if cap(d.bytes) > keepScratch {
		d.bytes = nil
	}
	if 8*cap(d.ints) > keepScratch {
		d.ints = nil
	}
	if 8*cap(d.floats) > keepScratch {
		d.floats = nil
	}
	decoders.Put(d)
}

// DecodeTraces appends the spans of a TracesData document to into. After an error into is as it was.
func DecodeTraces(doc []byte, into ptrace.Traces) error {
	td := ptrace.NewTraces()
	rare, err := decode(doc, func(d *decoder) { d.tracesData(td) })
	if rare && err == nil {
		td, err = (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(doc)
	}
	if err != nil {
		return err
	}
	td.ResourceSpans().MoveAndAppendTo(into.ResourceSpans())
	return nil
}

// DecodeLogs appends the log records of a LogsData document to into. After an error into is as it was.
func DecodeLogs(doc []byte, into plog.Logs) error {
	ld := plog.NewLogs()
	rare, err := decode(doc, func(d *decoder) { d.logsData(ld) })
	if rare && err == nil {
		ld, err = (&plog.JSONUnmarshaler{}).UnmarshalLogs(doc)
	}
	if err != nil {
		return err
	}
	ld.ResourceLogs().MoveAndAppendTo(into.ResourceLogs())
	return nil
}

// DecodeMetrics appends the metrics of a MetricsData document to into. After an error into is as it was.
func DecodeMetrics(doc []byte, into pmetric.Metrics) error {
	md := pmetric.NewMetrics()
	rare, err := decode(doc, func(d *decoder) { d.metricsData(md) })
	if rare && err == nil {
		md, err = (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(doc)
	}
	if err != nil {
		return err
	}
	md.ResourceMetrics().MoveAndAppendTo(into.ResourceMetrics())
	return nil
}
