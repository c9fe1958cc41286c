// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package otlpjson

import (
	"strings"
	"sync"
	"unsafe"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// decoders keeps scratch memory and hints, nothing of a document.
var decoders = sync.Pool{New: func() any { return &decoder{} }}

// keepScratch is how many bytes of scratch memory a decoder keeps for the next document.
const keepScratch = 64 << 10

// decode reads doc by read, and returns whether it is left to the reference, after it was found to be right.
func decode(doc []byte, read func(*decoder)) (rare bool, err error) {
	d := decoders.Get().(*decoder)
	d.b, d.n, d.rare = private(doc), len(doc), !layoutKnown
	read(d)
	d.end()
	if d.rare && d.emptyKey {
		d.fail("a field without a name can't be decoded beside entity references or indexes of strings")
	}
	rare, err = d.rare, d.err
	d.hints.strings, d.hints.attributes = d.made, d.added
	keep := decoder{hints: d.hints}
	if cap(d.bytes)+8*cap(d.ints)+8*cap(d.floats) <= keepScratch {
		keep.bytes, keep.ints, keep.floats = d.bytes, d.ints, d.floats
	}
	*d = keep
	decoders.Put(d)
	return rare, err
}

// private returns a copy of doc, and padding. A builder's memory is the only that is not cleared first, which costs
// as much as the copy; nobody else has the string while the decoder writes to it.
func private(doc []byte) []byte {
	var b strings.Builder
	b.Grow(len(doc) + padding)
	b.Write(doc)
	b.Write(make([]byte, padding))
	s := b.String()
	return unsafe.Slice(unsafe.StringData(s), len(s))
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
