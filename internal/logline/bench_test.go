// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"testing"
	"time"
)

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"plain", "GET /api/orders/17 200 in 12 ms for client 4711, cache miss, 3 rows from orders"},
		{"text", "2026-03-01 12:00:00,123 INFO  [main] com.example.Shop - GET /api/orders/17 200 in 12 ms"},
		{"pino", `{"level":30,"time":1772366400123,"pid":7,"hostname":"web-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","req":{"method":"GET","url":"/api/orders/17"},"res":{"statusCode":200},"responseTime":12,"msg":"request completed"}`},
		{"logfmt", `time=2026-03-01T12:00:00.123Z level=INFO msg="request completed" method=GET url=/api/orders/17 status=200 duration=12ms`},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := Parser{Location: time.UTC}
			b.SetBytes(int64(len(c.line)))
			b.ReportAllocs()
			for b.Loop() {
				if p.Parse(c.line, ModeAuto, start0).Body == "" {
					b.Fatal("no body")
				}
			}
		})
	}
}

func BenchmarkGrouper(b *testing.B) {
	for _, c := range []struct{ name, line string }{
		{"plain", "GET /api/orders/17 200 in 12 ms for client 4711, cache miss, 3 rows from orders"},
		{"pino", `{"level":30,"time":1772366400123,"pid":7,"hostname":"web-1","msg":"request completed"}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			var g Grouper[[16]int64]
			n := 0
			emit := func(group Group[[16]int64]) { n += len(group.Lines) }
			b.SetBytes(int64(len(c.line)))
			b.ReportAllocs()
			for b.Loop() {
				g.Add(c.line, [16]int64{}, start0, emit)
			}
		})
	}
}
