// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package recordjson

import (
	"bytes"
	"strconv"

	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/internal/jsontext"
	"github.com/tailrace/tailrace/internal/livetail"
)

// AppendMembers writes a record of any signal in its general form: where it comes from, then what it says.
func AppendMembers(o *Object, src *livetail.Source, rec livetail.Record) {
	o.Str("project", src.Project)
	o.Optional("deployment", src.Deployment)
	o.Optional("server", src.Server)
	o.Optional("build", src.Build)
	switch rec.Signal() {
	case livetail.SignalMetric:
		appendMetric(o, rec)
	case livetail.SignalScore:
		appendScore(o, rec)
	case livetail.SignalSpan:
		appendSpan(o, rec)
	default:
		appendLog(o, rec)
	}
	if rec.Has(livetail.FlagTruncated) {
		o.Key("truncated")
		o.B = append(o.B, "true"...)
	}
}

func appendContext(o *Object, rec livetail.Record) {
	if trace := rec.TraceID(); trace != [16]byte{} {
		o.Hex("traceId", trace[:])
	}
	if span := rec.SpanID(); span != [8]byte{} {
		o.Hex("spanId", span[:])
	}
}

func appendLog(o *Object, rec livetail.Record) {
	l := ReadLog(rec)
	o.Bytes("service", l.Service)
	o.Key("time")
	o.B = AppendNanos(o.B, rec.UnixNano())
	severity := Level(rec, l.Severity)
	if severity == "" {
		severity = "unset"
	}
	o.Str("severity", severity)
	if n := rec.Severity(); n > 0 {
		o.Uint("severityNumber", uint64(n))
	}
	o.OptionalBytes("eventName", l.Event)
	f := l.InBody
	o.Value("body", &f, l.Body)
	o.Attributes(&l.Attributes)
	appendContext(o, rec)
	o.OptionalBytes("uid", l.UID)
}

func appendScore(o *Object, rec livetail.Record) {
	l := ReadLog(rec)
	o.Bytes("service", l.Service)
	o.Key("time")
	o.B = AppendNanos(o.B, rec.UnixNano())
	name, _ := l.Attributes.Attribute(livetail.AttrScoreName)
	o.Bytes("name", name.Str)
	o.Key("value")
	if v, ok := l.Attributes.Attribute(livetail.AttrScoreValue); ok && isNumber(v) {
		o.B = AppendValue(o.B, nil, v)
	} else {
		o.B = append(o.B, "null"...)
	}
	if v, ok := l.Attributes.Attribute(livetail.AttrScoreLabel); ok {
		o.OptionalBytes("label", v.Str)
	}
	if v, ok := l.Attributes.Attribute(livetail.AttrScoreExplanation); ok {
		o.OptionalBytes("explanation", v.Str)
	}
	o.Attributes(&l.Attributes)
	appendContext(o, rec)
	o.OptionalBytes("uid", l.UID)
}

func isNumber(v livetail.Value) bool {
	_, ok := v.Number()
	return ok
}

var (
	spanKinds    = [...]string{"unspecified", "internal", "server", "client", "producer", "consumer"}
	spanStatuses = [...]string{"unset", "ok", "error"}
)

func named(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return names[0]
	}
	return names[i]
}

func appendSpan(o *Object, rec livetail.Record) {
	f := rec.Fields()
	service, name, message := f.String(), f.String(), f.String()
	trace, span, parent := rec.TraceID(), rec.SpanID(), rec.ParentSpanID()
	o.Hex("traceId", trace[:])
	o.Hex("spanId", span[:])
	if parent == [8]byte{} {
		o.Key("parentSpanId")
		o.B = append(o.B, "null"...)
	} else {
		o.Hex("parentSpanId", parent[:])
	}
	o.Bytes("service", service)
	o.Bytes("name", name)
	o.Str("kind", named(spanKinds[:], rec.Kind()))
	o.Key("start")
	o.B = AppendNanos(o.B, rec.UnixNano())
	if !rec.Has(livetail.FlagOpen) {
		o.Key("end")
		o.B = AppendNanos(o.B, rec.SecondUnixNano())
		o.Key("durationMs")
		o.B = jsontext.AppendFloat(o.B, float64(max(rec.SecondUnixNano()-rec.UnixNano(), 0))/1e6)
		o.Str("status", named(spanStatuses[:], rec.Status()))
		o.OptionalBytes("statusMessage", message)
	}
	o.Attributes(&f)
	events := f.Count()
	if events == 0 {
		return
	}
	o.Key("events")
	o.B = append(o.B, '[')
	for i := range events {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.B = append(o.B, '{')
		o.First = true
		at := int64(f.Uint64())
		o.Bytes("name", f.String())
		o.Key("time")
		o.B = AppendNanos(o.B, at)
		o.Attributes(&f)
		o.Close()
	}
	o.B = append(o.B, ']')
}

var (
	metricTypes   = [...]string{"", "gauge", "sum", "histogram", "exponential_histogram", "summary"}
	temporalities = [...]string{"", "delta", "cumulative"}
)

func appendMetric(o *Object, rec livetail.Record) {
	f := rec.Fields()
	o.Bytes("service", f.String())
	o.Bytes("name", f.String())
	o.Str("metricType", named(metricTypes[:], int(rec.MetricType())))
	o.OptionalBytes("unit", f.String())
	o.Key("time")
	o.B = AppendNanos(o.B, rec.UnixNano())
	if start := rec.SecondUnixNano(); start != 0 {
		o.Key("start")
		o.B = AppendNanos(o.B, start)
	}
	if t := rec.Temporality(); t > 0 {
		o.Optional("temporality", named(temporalities[:], t))
	}
	switch rec.MetricType() {
	case livetail.MetricSum:
		o.Key("monotonic")
		o.B = strconv.AppendBool(o.B, rec.Has(livetail.FlagMonotonic))
		fallthrough
	case livetail.MetricGauge:
		o.Value("value", &f, f.Value())
	default:
		appendDistribution(o, rec, &f)
	}
	o.Attributes(&f)
}

func appendDistribution(o *Object, rec livetail.Record, f *livetail.Fields) {
	o.Uint("count", f.Uint64())
	for _, m := range [...]struct {
		name string
		flag livetail.Flag
	}{{"sum", livetail.FlagHasValue}, {"min", livetail.FlagHasMin}, {"max", livetail.FlagHasMax}} {
		if v := f.Float64(); rec.Has(m.flag) {
			o.Float(m.name, v)
		}
	}
	switch rec.MetricType() {
	case livetail.MetricExponentialHistogram:
		o.Key("scale")
		o.B = AppendInt(o.B, int64(f.Uint64()))
		o.Uint("zeroCount", f.Uint64())
	case livetail.MetricSummary:
		o.Array("quantiles", f, (*livetail.Fields).Float64)
		o.Array("values", f, (*livetail.Fields).Float64)
	case livetail.MetricHistogram:
		o.Array("bounds", f, (*livetail.Fields).Float64)
		o.Key("buckets")
		o.B = append(o.B, '[')
		for i := range f.Count() {
			if i > 0 {
				o.B = append(o.B, ',')
			}
			o.B = AppendUint(o.B, f.Uint64())
		}
		o.B = append(o.B, ']')
	}
}

// Array writes a list of numbers that f stands before, which next reads.
func (o *Object) Array(name string, f *livetail.Fields, next func(*livetail.Fields) float64) {
	o.Key(name)
	o.B = append(o.B, '[')
	for i := range f.Count() {
		if i > 0 {
			o.B = append(o.B, ',')
		}
		o.B = jsontext.AppendFloat(o.B, next(f))
	}
	o.B = append(o.B, ']')
}

// Log are the variable fields of a log record.
type Log struct {
	Service, Event, Severity []byte
	Body                     livetail.Value
	InBody                   livetail.Fields // before the elements of Body
	Attributes               livetail.Fields
	UID                      []byte
}

// ReadLog reads the fields of a log record or a score.
func ReadLog(rec livetail.Record) (l Log) {
	f := rec.Fields()
	l.Service, l.Event, l.Severity = f.String(), f.String(), f.String()
	l.Body = f.Value()
	l.InBody = f
	f.Skip(l.Body)
	l.Attributes = f
	for range f.Count() {
		f.String()
		f.Skip(f.Value())
	}
	l.UID = f.String()
	return l
}

// Line writes the text of a line: as it was printed where that is known, and the body otherwise.
func (l *Log) Line(o *Object, name string) {
	if original, ok := l.Attributes.Attribute(identity.AttrLogOriginal); ok && original.Kind == livetail.KindString {
		o.Bytes(name, original.Str)
		return
	}
	f := l.InBody
	o.Text(name, &f, l.Body)
}

var levels = [...]string{"trace", "debug", "info", "warn", "error", "fatal"}

// Level is the level of a severity number, or what a severity text names, or empty.
func Level(rec livetail.Record, text []byte) string {
	if n := rec.Severity(); n > 0 {
		return levels[min((n-1)/4, len(levels)-1)]
	}
	for _, l := range levels {
		if bytes.EqualFold(text, []byte(l)) {
			return l
		}
	}
	if bytes.EqualFold(text, []byte("warning")) {
		return "warn"
	}
	return ""
}
