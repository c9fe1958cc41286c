// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"go.opentelemetry.io/collector/pdata/plog"
)

// Logs is a block of log records. It is not safe for concurrent use.
type Logs struct {
	Block

	timestamp       *nanos
	traceID, spanID text
	flags           u8
	severity        dict
	number          u8
	service         dict
	body            text
	resourceURL     dict
	resource        attrs
	scopeURL        dict
	scopeName       text
	scopeVersion    dict
	scope           attrs
	attributes      attrs
	event           text
}

// NewLogs returns an empty block.
func NewLogs() *Logs {
	b := &Logs{timestamp: newNanos()}
	b.Block = newBlock("otel_logs",
		field{"Timestamp", b.timestamp},
		field{"TraceId", &b.traceID},
		field{"SpanId", &b.spanID},
		field{"TraceFlags", &b.flags},
		field{"SeverityText", &b.severity},
		field{"SeverityNumber", &b.number},
		field{"ServiceName", &b.service},
		field{"Body", &b.body},
		field{"ResourceSchemaUrl", &b.resourceURL},
		field{"ResourceAttributes", &b.resource},
		field{"ScopeSchemaUrl", &b.scopeURL},
		field{"ScopeName", &b.scopeName},
		field{"ScopeVersion", &b.scopeVersion},
		field{"ScopeAttributes", &b.scope},
		field{"LogAttributes", &b.attributes},
		field{"EventName", &b.event},
	)
	return b
}

// Append adds the log records. It does not change them, and keeps strings of them until Reset.
func (b *Logs) Append(d plog.Logs) {
	for _, rl := range d.ResourceLogs().All() {
		firstOfResource, service, url := true, serviceName(rl.Resource()), rl.SchemaUrl()
		for _, sl := range rl.ScopeLogs().All() {
			scope, firstOfScope, scopeURL := sl.Scope(), true, sl.SchemaUrl()
			name, version := scope.Name(), scope.Version()
			for _, r := range sl.LogRecords().All() {
				b.service.append(service)
				b.resourceURL.append(url)
				b.resource.once(&firstOfResource, rl.Resource().Attributes())
				b.scopeURL.append(scopeURL)
				b.scopeName.append(name)
				b.scopeVersion.append(version)
				b.scope.once(&firstOfScope, scope.Attributes())
				b.record(r)
			}
		}
	}
}

func (b *Logs) record(r plog.LogRecord) {
	ts := r.Timestamp()
	if ts == 0 {
		ts = r.ObservedTimestamp()
	}
	b.timestamp.append(ts)
	b.traceID.appendTrace(r.TraceID())
	b.spanID.appendSpan(r.SpanID())
	b.flags.ColUInt8 = append(b.flags.ColUInt8, uint8(r.Flags()))
	b.severity.append(r.SeverityText())
	b.number.ColUInt8 = append(b.number.ColUInt8, uint8(r.SeverityNumber()))
	b.body.appendValue(r.Body())
	b.attributes.append(r.Attributes())
	b.event.append(r.EventName())
}
