// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

// collector is the built binary with config/cluster.yaml.
type collector struct {
	name string
	otlp string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	sent int // records of each signal that it has acknowledged
}

// startCollector starts one; further configurations are merged over config/cluster.yaml.
func startCollector(t testing.TB, name string, all nodes, configs ...string) *collector {
	t.Helper()
	root := filepath.Dir(clickhousetest.BuildDir(t))
	var hosts []string
	for _, n := range all {
		hosts = append(hosts, n.addr())
	}
	c := &collector{name: name, otlp: freeport.Address(t), log: &bytes.Buffer{}}
	c.cmd = exec.Command(filepath.Join(root, "_build", "tailrace"))
	for _, config := range append([]string{"config/cluster.yaml"}, configs...) {
		c.cmd.Args = append(c.cmd.Args, "--config", config)
	}
	c.cmd.Dir = root
	c.cmd.Env = append(os.Environ(), "TAILRACE_DATA="+t.TempDir(), "TAILRACE_OTLP_HTTP="+c.otlp, "TAILRACE_OTLP_GRPC="+freeport.Address(t), "TAILRACE_CONSOLE="+freeport.Address(t),
		"TAILRACE_HEALTH="+freeport.Address(t), "TAILRACE_METRICS_PORT="+strconv.Itoa(freeport.For(t)),
		"TAILRACE_CLICKHOUSE_HOSTS="+strings.Join(hosts, ","), "TAILRACE_CLICKHOUSE_CLUSTER="+clusterName, "TAILRACE_CLICKHOUSE_PASSWORD="+password)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		_ = c.cmd.Process.Signal(os.Interrupt)
		_ = c.cmd.Wait()
		if t.Failed() {
			text := c.log.String()
			t.Logf("%s said at last:\n%s", name, text[max(0, len(text)-6000):])
		}
	})
	require.Eventually(t, func() bool { return answersOTLP(c.otlp) }, 60*time.Second, 50*time.Millisecond, "%s does not listen", name)
	return c
}

func answersOTLP(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// send sends n spans, log records and points, all different, and returns when they are acknowledged.
func (c *collector) send(t testing.TB, n int) {
	t.Helper()
	now := time.Now()
	traces, logs, metrics := ptrace.NewTraces(), plog.NewLogs(), pmetric.NewMetrics()
	resource := func(r pcommon.Resource) {
		r.Attributes().PutStr("project.id", c.name)
		r.Attributes().PutStr("service.name", c.name)
	}
	rs, rl, rm := traces.ResourceSpans().AppendEmpty(), logs.ResourceLogs().AppendEmpty(), metrics.ResourceMetrics().AppendEmpty()
	resource(rs.Resource())
	resource(rl.Resource())
	resource(rm.Resource())
	spans, records, points := rs.ScopeSpans().AppendEmpty().Spans(), rl.ScopeLogs().AppendEmpty().LogRecords(), rm.ScopeMetrics().AppendEmpty().Metrics()
	for i := range n {
		id := c.sent + i
		at := pcommon.NewTimestampFromTime(now.Add(-time.Duration(id%5000) * 20 * time.Second)) // over two days, so over partitions
		s := spans.AppendEmpty()
		var trace [16]byte
		var span [8]byte
		copy(trace[:], fmt.Sprintf("%s%08d", c.name[:2], id/4))
		copy(span[:], fmt.Sprintf("%s%06d", c.name[:2], id))
		s.SetTraceID(trace)
		s.SetSpanID(span)
		s.SetName("work")
		s.SetStartTimestamp(at)
		s.SetEndTimestamp(at + 1000)
		r := records.AppendEmpty()
		r.SetTimestamp(at)
		r.SetSeverityNumber(plog.SeverityNumberInfo)
		r.Body().SetStr(fmt.Sprintf("line %d", id))
		r.Attributes().PutStr("log.record.uid", fmt.Sprintf("%s-%d", c.name, id))
		m := points.AppendEmpty()
		m.SetName(fmt.Sprintf("metric.%d", id%50))
		p := m.SetEmptyGauge().DataPoints().AppendEmpty()
		p.SetTimestamp(at)
		p.SetIntValue(int64(id))
		p.Attributes().PutStr("n", fmt.Sprintf("%s-%d", c.name, id))
	}
	post := func(path string, marshal func() ([]byte, error)) {
		body, err := marshal()
		require.NoError(t, err)
		resp, err := http.Post("http://"+c.otlp+path, "application/x-protobuf", bytes.NewReader(body))
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	post("/v1/traces", ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto)
	post("/v1/logs", plogotlp.NewExportRequestFromLogs(logs).MarshalProto)
	post("/v1/metrics", pmetricotlp.NewExportRequestFromMetrics(metrics).MarshalProto)
	c.sent += n
}

// contrib puts contrib's exporter in the place of clickhouse_columnar.
func contrib(all nodes) []string {
	var hosts []string
	for _, n := range all {
		hosts = append(hosts, n.addr())
	}
	return []string{
		"yaml:exporters: {clickhouse: {endpoint: 'tcp://" + strings.Join(hosts, ",") + "', database: tailrace, username: " + user + ", password: '${env:TAILRACE_CLICKHOUSE_PASSWORD}', create_schema: false, timeout: 60s, " +
			"sending_queue: {enabled: false}, retry_on_failure: {enabled: false}}}",
		"yaml:service: {pipelines: {traces/store: {exporters: [clickhouse]}, logs/store: {exporters: [clickhouse]}, metrics/store: {exporters: [clickhouse]}}}",
	}
}
