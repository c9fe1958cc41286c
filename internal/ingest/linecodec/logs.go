// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package linecodec

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/ingest"
)

// NewLogs returns an empty batch of log records; its units are *Unit[plog.Logs].
func NewLogs() ingest.Batch {
	return newBatch(&codec[plog.Logs]{
		decode:    decodeLogs,
		marshal:   (&plog.JSONMarshaler{}).MarshalLogs,
		empty:     plog.NewLogs,
		records:   plog.Logs.LogRecordCount,
		resources: func(d plog.Logs) int { return d.ResourceLogs().Len() },
		appendTo:  func(from, to plog.Logs) { from.ResourceLogs().MoveAndAppendTo(to.ResourceLogs()) },
		days: func(d plog.Logs, f func(int64)) {
			for _, rl := range d.ResourceLogs().All() {
				for _, sl := range rl.ScopeLogs().All() {
					for _, r := range sl.LogRecords().All() {
						f(dayOf(logTime(r)))
					}
				}
			}
		},
		keep: func(d plog.Logs, want func(int64) bool) {
			removeLogs(d, func(r plog.LogRecord) bool { return !want(dayOf(logTime(r))) })
		},
		copy: func(d plog.Logs) plog.Logs {
			c := plog.NewLogs()
			d.CopyTo(c)
			return c
		},
		poison: poisonLogs,
	})
}

// logTime is the time under which the store files a record.
func logTime(r plog.LogRecord) pcommon.Timestamp {
	if ts := r.Timestamp(); ts != 0 {
		return ts
	}
	return r.ObservedTimestamp()
}

func removeLogs(d plog.Logs, drop func(plog.LogRecord) bool) {
	d.ResourceLogs().RemoveIf(func(rl plog.ResourceLogs) bool {
		rl.ScopeLogs().RemoveIf(func(sl plog.ScopeLogs) bool {
			sl.LogRecords().RemoveIf(drop)
			return sl.LogRecords().Len() == 0
		})
		return rl.ScopeLogs().Len() == 0
	})
}

func badLog(r plog.LogRecord) bool { return wrongWithTime(logTime(r)) != "" }

func poisonLogs(d plog.Logs) (rejected []plog.Logs, reasons []string) {
	for _, rl := range d.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, rec := range sl.LogRecords().All() {
				if !badLog(rec) {
					continue
				}
				one := plog.NewLogs()
				r := one.ResourceLogs().AppendEmpty()
				rl.Resource().CopyTo(r.Resource())
				r.SetSchemaUrl(rl.SchemaUrl())
				sc := r.ScopeLogs().AppendEmpty()
				sl.Scope().CopyTo(sc.Scope())
				sc.SetSchemaUrl(sl.SchemaUrl())
				rec.CopyTo(sc.LogRecords().AppendEmpty())
				rejected, reasons = append(rejected, one), append(reasons, wrongWithTime(logTime(rec)))
			}
		}
	}
	if len(rejected) > 0 {
		removeLogs(d, badLog)
	}
	return rejected, reasons
}
