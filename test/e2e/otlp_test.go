// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
)

const protobuf = "application/x-protobuf"

// post sends a body to the OTLP/HTTP receiver and returns the status code and the answer.
func (p *product) post(path, contentType string, body []byte, header ...string) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+p.http+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// acknowledged is nil when the receiver has taken the whole request.
func acknowledged(code int, answer string, err error) error {
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d %s", code, answer)
	}
	return err
}

func (p *product) sendLogs(ld plog.Logs, header ...string) error {
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	if err != nil {
		return err
	}
	return acknowledged(p.post("/v1/logs", protobuf, body, header...))
}

func (p *product) sendTraces(td ptrace.Traces, header ...string) error {
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		return err
	}
	return acknowledged(p.post("/v1/traces", protobuf, body, header...))
}

func (p *product) sendMetrics(md pmetric.Metrics, header ...string) error {
	body, err := pmetricotlp.NewExportRequestFromMetrics(md).MarshalProto()
	if err != nil {
		return err
	}
	return acknowledged(p.post("/v1/metrics", protobuf, body, header...))
}

// logs makes n log records of a project whose bodies are "{prefix}-{i}".
func logs(project, prefix string, n int) plog.Logs {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	resource(rl.Resource(), project)
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for i := range n {
		r := records.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		r.Body().SetStr(fmt.Sprintf("%s-%d", prefix, i))
	}
	return ld
}

// spans makes n spans of a project whose names are "{prefix}-{i}".
func spans(project, prefix string, n int) ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	resource(rs.Resource(), project)
	list := rs.ScopeSpans().AppendEmpty().Spans()
	now := time.Now()
	for i := range n {
		s := list.AppendEmpty()
		s.SetTraceID(traceID(prefix))
		s.SetSpanID(spanID(i + 1))
		s.SetName(fmt.Sprintf("%s-%d", prefix, i))
		s.SetStartTimestamp(pcommon.NewTimestampFromTime(now.Add(-time.Millisecond)))
		s.SetEndTimestamp(pcommon.NewTimestampFromTime(now))
	}
	return td
}

// gauges makes n points of one gauge of a project, with the attribute point = "{prefix}-{i}".
func gauges(project, prefix string, n int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	resource(rm.Resource(), project)
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("e2e.gauge")
	points := m.SetEmptyGauge().DataPoints()
	for i := range n {
		dp := points.AppendEmpty()
		dp.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		dp.SetDoubleValue(float64(i))
		dp.Attributes().PutStr("point", fmt.Sprintf("%s-%d", prefix, i))
	}
	return md
}

func resource(r pcommon.Resource, project string) {
	r.Attributes().PutStr("service.name", "e2e")
	if project != "" {
		r.Attributes().PutStr("project.id", project)
	}
}

func traceID(seed string) (id pcommon.TraceID) {
	copy(id[:], fmt.Sprintf("%-16.16s", seed))
	return id
}

func spanID(n int) (id pcommon.SpanID) {
	copy(id[:], fmt.Sprintf("%08d", n))
	return id
}

// load sends logs, spans and gauges from several goroutines until stop, and remembers what was acknowledged.
type load struct {
	p    *product
	quit chan struct{}
	wg   sync.WaitGroup

	refused atomic.Int64
	mu      sync.Mutex
	acked   map[string][]string // signal → prefixes of acknowledged requests
}

// recordsPerRequest is how many records each request of a load carries.
const recordsPerRequest = 20

func startLoad(p *product, name string, senders int, pause time.Duration) *load {
	l := &load{p: p, quit: make(chan struct{}), acked: map[string][]string{}}
	signals := map[string]func(prefix string) error{
		"logs":    func(prefix string) error { return p.sendLogs(logs("load", prefix, recordsPerRequest)) },
		"traces":  func(prefix string) error { return p.sendTraces(spans("load", prefix, recordsPerRequest)) },
		"metrics": func(prefix string) error { return p.sendMetrics(gauges("load", prefix, recordsPerRequest)) },
	}
	for signal, send := range signals {
		for s := range senders {
			l.wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-l.quit:
						return
					case <-time.After(pause):
					}
					prefix := fmt.Sprintf("%s%dx%d", name, s, i)
					if err := send(prefix); err != nil {
						l.refused.Add(1)
						continue
					}
					l.mu.Lock()
					l.acked[signal] = append(l.acked[signal], prefix)
					l.mu.Unlock()
				}
			})
		}
	}
	return l
}

func (l *load) stop() {
	close(l.quit)
	l.wg.Wait()
}

// count returns how many requests of a signal were acknowledged so far.
func (l *load) count(signal string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked[signal])
}
