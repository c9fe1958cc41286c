// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/otlpjsonfilereceiver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tailrace/tailrace/exporter/jsonlexporter"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

// example returns the code block of a language in the format's document.
func example(t *testing.T, lang string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/format/jsonl.md")
	require.NoError(t, err)
	m := regexp.MustCompile("(?s)```" + lang + "\n(.*?)```").FindStringSubmatch(string(doc))
	require.NotNil(t, m, lang)
	return m[1]
}

// agentTraces are spans of which the document's queries find something.
func agentTraces() ptrace.Traces {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", "shop")
	ss := rs.ScopeSpans().AppendEmpty()
	for i := range 10 {
		s := ss.Spans().AppendEmpty()
		s.SetName([]string{"chat", "tool"}[i%2])
		s.SetTraceID(traceID(1))
		s.SetSpanID(spanID(i + 1))
		s.SetStartTimestamp(base)
		s.SetEndTimestamp(base + 1_500_000)
		if i%2 == 0 {
			s.Attributes().PutInt("gen_ai.usage.output_tokens", int64(i))
		}
	}
	return td
}

func written(t *testing.T, settings map[string]any) string {
	t.Helper()
	dir := t.TempDir()
	settings["path"] = dir
	s := start(t, jsonlexporter.NewFactory(), settings)
	require.NoError(t, s.traces.ConsumeTraces(t.Context(), agentTraces()))
	s.stop(t)
	return dir
}

func TestDuckDBReadsFlatFiles(t *testing.T) {
	dir := written(t, map[string]any{"encoding": "flat_json"})
	script, err := filepath.Abs("duckdb/query.mjs")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", script)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(example(t, "duckdb"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\nis it installed? npm ci in test/interop/duckdb", out)
	assert.Equal(t, "[\"chat\",\"5\",\"20\"]\n[\"tool\",\"5\",null]\n", string(out))
}

// The query of the document runs on the engine that `clickhouse local` is.
func TestClickHouseLocalReadsFlatFiles(t *testing.T) {
	server := clickhousetest.Start(t)
	dir := written(t, map[string]any{"encoding": "flat_json"})
	sql := strings.Replace(example(t, "clickhouse"), "file('", "file('"+dir+"/", 1)
	assert.Equal(t, "chat\t5\t1.5\ntool\t5\t1.5\n", post(t, server, sql, nil))
	packed := written(t, map[string]any{"encoding": "flat_json", "compression": "zstd"})
	sql = strings.Replace(example(t, "clickhouse"), "file('spans/*/*.jsonl'", "file('"+packed+"/spans/*/*.jsonl.zst'", 1)
	assert.Equal(t, "chat\t5\t1.5\ntool\t5\t1.5\n", post(t, server, sql, nil), "ClickHouse reads the frames too")
}

func TestOtlpJSONFileReceiverReadsSegments(t *testing.T) {
	dir := written(t, map[string]any{})
	f := otlpjsonfilereceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"include": []any{filepath.Join(dir, "spans/*/*.jsonl")}, "start_at": "beginning", "poll_interval": "10ms", "include_file_name": false,
	}).Unmarshal(cfg))
	sink := new(consumertest.TracesSink)
	r, err := f.CreateTraces(t.Context(), receivertest.NewNopSettings(f.Type()), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return sink.SpanCount() >= 10 }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, r.Shutdown(t.Context()))
	assert.Equal(t, 10, sink.SpanCount())
	want, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(agentTraces())
	require.NoError(t, err)
	got, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(sink.AllTraces()[0])
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// What a sender is answered through the real OTLP receiver, by HTTP and by gRPC.
func TestSendersAreAnsweredByTheirProtocol(t *testing.T) {
	dir := t.TempDir()
	sinks := start(t, jsonlexporter.NewFactory(), map[string]any{
		"path": dir, "max_disk_bytes": 4000, "rotation": map[string]any{"max_bytes": 4000},
	})
	defer sinks.stop(t)
	f := otlpreceiver.NewFactory()
	cfg := f.CreateDefaultConfig()
	httpAddr, grpcAddr := freeport.Address(t), freeport.Address(t)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"protocols": map[string]any{
		"http": map[string]any{"endpoint": httpAddr}, "grpc": map[string]any{"endpoint": grpcAddr},
	}}).Unmarshal(cfg))
	r, err := f.CreateLogs(t.Context(), receivertest.NewNopSettings(f.Type()), cfg, sinks.logs)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, r.Shutdown(t.Context())) }()
	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer conn.Close()
	send := func(bytes int) (int, codes.Code, string) {
		ld := plog.NewLogs()
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr(strings.Repeat("x", bytes))
		return overHTTP(t, httpAddr, ld), overGRPC(t, conn, ld), fmt.Sprint(bytes)
	}
	code, grpcCode, what := send(1500)
	require.Equal(t, http.StatusOK, code, what)
	require.Equal(t, codes.OK, grpcCode)
	code, grpcCode, what = send(3000)
	assert.Equal(t, http.StatusTooManyRequests, code, what)
	assert.Equal(t, codes.ResourceExhausted, grpcCode, what)
	code, grpcCode, what = send(9000)
	assert.Equal(t, http.StatusBadRequest, code, what)
	assert.Equal(t, codes.InvalidArgument, grpcCode, what)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "logs")))
	code, _, what = send(10)
	assert.Equal(t, http.StatusServiceUnavailable, code, what)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "logs")))
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("y")
	assert.Equal(t, codes.Unavailable, overGRPC(t, conn, ld))
}

func overHTTP(t *testing.T, addr string, ld plog.Logs) int {
	t.Helper()
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/logs", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func overGRPC(t *testing.T, conn *grpc.ClientConn, ld plog.Logs) codes.Code {
	t.Helper()
	_, err := plogotlp.NewGRPCClient(conn).Export(t.Context(), plogotlp.NewExportRequestFromLogs(ld))
	return status.Code(err)
}
