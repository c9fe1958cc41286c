// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package classic

import (
	"strconv"

	"github.com/tailrace/tailrace/internal/livetail"
)

func appendContext(o *object, rec livetail.Record) {
	if trace := rec.TraceID(); trace != [16]byte{} {
		o.hex("traceId", trace[:])
	}
	if span := rec.SpanID(); span != [8]byte{} {
		o.hex("spanId", span[:])
	}
}

func appendLog(o *object, rec livetail.Record) {
	l := readLog(rec)
	o.bytes("service", l.service)
	o.key("time")
	o.b = appendNanos(o.b, rec.UnixNano())
	severity := level(rec, l.severity)
	if severity == "" {
		severity = "unset"
	}
	o.str("severity", severity)
	if n := rec.Severity(); n > 0 {
		o.uint("severityNumber", uint64(n))
	}
	o.optionalBytes("eventName", l.event)
	f := l.inBody
	o.value("body", &f, l.body)
	o.attributes(&l.attributes)
	appendContext(o, rec)
	o.optionalBytes("uid", l.uid)
}

func appendScore(o *object, rec livetail.Record) {
	l := readLog(rec)
	o.bytes("service", l.service)
	o.key("time")
	o.b = appendNanos(o.b, rec.UnixNano())
	name, _ := l.attributes.Attribute(livetail.AttrScoreName)
	o.bytes("name", name.Str)
	o.key("value")
	if v, ok := l.attributes.Attribute(livetail.AttrScoreValue); ok && isNumber(v) {
		o.b = appendValue(o.b, nil, v)
	} else {
		o.b = append(o.b, "null"...)
	}
	if v, ok := l.attributes.Attribute(livetail.AttrScoreLabel); ok {
		o.optionalBytes("label", v.Str)
	}
	if v, ok := l.attributes.Attribute(livetail.AttrScoreExplanation); ok {
		o.optionalBytes("explanation", v.Str)
	}
	o.attributes(&l.attributes)
	appendContext(o, rec)
	o.optionalBytes("uid", l.uid)
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

func appendSpan(o *object, rec livetail.Record) {
	f := rec.Fields()
	service, name, message := f.String(), f.String(), f.String()
	trace, span, parent := rec.TraceID(), rec.SpanID(), rec.ParentSpanID()
	o.hex("traceId", trace[:])
	o.hex("spanId", span[:])
	if parent == [8]byte{} {
		o.key("parentSpanId")
		o.b = append(o.b, "null"...)
	} else {
		o.hex("parentSpanId", parent[:])
	}
	o.bytes("service", service)
	o.bytes("name", name)
	o.str("kind", named(spanKinds[:], rec.Kind()))
	o.key("start")
	o.b = appendNanos(o.b, rec.UnixNano())
	if !rec.Has(livetail.FlagOpen) {
		o.key("end")
		o.b = appendNanos(o.b, rec.SecondUnixNano())
		o.key("durationMs")
		o.b = appendFloat(o.b, float64(max(rec.SecondUnixNano()-rec.UnixNano(), 0))/1e6)
		o.str("status", named(spanStatuses[:], rec.Status()))
		o.optionalBytes("statusMessage", message)
	}
	o.attributes(&f)
	events := f.Count()
	if events == 0 {
		return
	}
	o.key("events")
	o.b = append(o.b, '[')
	for i := range events {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		o.first = true
		at := int64(f.Uint64())
		o.bytes("name", f.String())
		o.key("time")
		o.b = appendNanos(o.b, at)
		o.attributes(&f)
		o.close()
	}
	o.b = append(o.b, ']')
}

var (
	metricTypes   = [...]string{"", "gauge", "sum", "histogram", "exponential_histogram", "summary"}
	temporalities = [...]string{"", "delta", "cumulative"}
)

func appendMetric(o *object, rec livetail.Record) {
	f := rec.Fields()
	o.bytes("service", f.String())
	o.bytes("name", f.String())
	o.str("metricType", named(metricTypes[:], int(rec.MetricType())))
	o.optionalBytes("unit", f.String())
	o.key("time")
	o.b = appendNanos(o.b, rec.UnixNano())
	if start := rec.SecondUnixNano(); start != 0 {
		o.key("start")
		o.b = appendNanos(o.b, start)
	}
	if t := rec.Temporality(); t > 0 {
		o.optional("temporality", named(temporalities[:], t))
	}
	switch rec.MetricType() {
	case livetail.MetricSum:
		o.key("monotonic")
		o.b = strconv.AppendBool(o.b, rec.Has(livetail.FlagMonotonic))
		fallthrough
	case livetail.MetricGauge:
		o.value("value", &f, f.Value())
	default:
		appendDistribution(o, rec, &f)
	}
	o.attributes(&f)
}

func appendDistribution(o *object, rec livetail.Record, f *livetail.Fields) {
	o.uint("count", f.Uint64())
	for _, m := range [...]struct {
		name string
		flag livetail.Flag
	}{{"sum", livetail.FlagHasValue}, {"min", livetail.FlagHasMin}, {"max", livetail.FlagHasMax}} {
		if v := f.Float64(); rec.Has(m.flag) {
			o.float(m.name, v)
		}
	}
	switch rec.MetricType() {
	case livetail.MetricExponentialHistogram:
		o.key("scale")
		o.b = appendInt(o.b, int64(f.Uint64()))
		o.uint("zeroCount", f.Uint64())
	case livetail.MetricSummary:
		o.array("quantiles", f, (*livetail.Fields).Float64)
		o.array("values", f, (*livetail.Fields).Float64)
	case livetail.MetricHistogram:
		o.array("bounds", f, (*livetail.Fields).Float64)
		o.key("buckets")
		o.b = append(o.b, '[')
		for i := range f.Count() {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendUint(o.b, f.Uint64())
		}
		o.b = append(o.b, ']')
	}
}

func (o *object) array(name string, f *livetail.Fields, next func(*livetail.Fields) float64) {
	o.key(name)
	o.b = append(o.b, '[')
	for i := range f.Count() {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendFloat(o.b, next(f))
	}
	o.b = append(o.b, ']')
}
