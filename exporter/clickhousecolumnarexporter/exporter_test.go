// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhousecolumnarexporter

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter/internal/metadata"
	"github.com/tailrace/tailrace/exporter/clickhousecolumnarexporter/internal/metadatatest"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
	"github.com/tailrace/tailrace/internal/insert"
)

const table = "CREATE TABLE tailrace.otel_logs (Timestamp DateTime64(9), TraceId String, SpanId String, TraceFlags UInt8, SeverityText LowCardinality(String), " +
	"SeverityNumber UInt8, ServiceName LowCardinality(String), Body String, ResourceSchemaUrl LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String), " +
	"ScopeSchemaUrl LowCardinality(String), ScopeName String, ScopeVersion LowCardinality(String), ScopeAttributes Map(LowCardinality(String), String), " +
	"LogAttributes Map(LowCardinality(String), String), EventName String, CONSTRAINT c CHECK Body != 'bad') ENGINE = MergeTree ORDER BY Timestamp"

func startLogs(t *testing.T, set exporter.Settings, yaml map[string]any) exporter.Logs {
	t.Helper()
	cfg, err := load(yaml)
	require.NoError(t, err)
	e, err := NewFactory().CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e
}

func settings() exporter.Settings { return exportertest.NewNopSettings(metadata.Type) }

func login(endpoint string) map[string]any {
	return map[string]any{"endpoint": endpoint, "username": clickhousetest.User, "password": clickhousetest.Password}
}

func lines(bodies ...string) plog.Logs {
	ld := plog.NewLogs()
	to := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, b := range bodies {
		r := to.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
		r.Body().SetStr(b)
	}
	return ld
}

func TestWithoutATokenARefusedRecordIsPermanentAndWhatHealsIsNot(t *testing.T) {
	server := clickhousetest.Start(t)
	conn := server.Conn()
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	e := startLogs(t, metadatatest.NewSettings(telemetry), login("tcp://"+server.Addr()))

	err := e.ConsumeLogs(t.Context(), lines("early"))
	require.Error(t, err)
	assert.False(t, consumererror.IsPermanent(err), "a database that is missing may come: %v", err)
	require.NoError(t, conn.Exec(t.Context(), "CREATE DATABASE tailrace"))
	require.NoError(t, conn.Exec(t.Context(), table))
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("early", "late")))

	err = e.ConsumeLogs(t.Context(), lines("good", "bad"))
	require.Error(t, err)
	assert.True(t, consumererror.IsPermanent(err), "%v", err)
	err = e.ConsumeLogs(insert.NewContext(t.Context(), "t"), lines("good", "bad"))
	require.Error(t, err)
	assert.False(t, consumererror.IsPermanent(err), "who set the token takes the batch apart: %v", err)

	server.Kill()
	err = e.ConsumeLogs(t.Context(), lines("meanwhile"))
	require.Error(t, err)
	assert.False(t, consumererror.IsPermanent(err), "%v", err)
	server.Run()
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("after")), "the next insert connects again")

	var n uint64
	require.NoError(t, server.Conn().QueryRow(t.Context(), "SELECT count() FROM tailrace.otel_logs").Scan(&n))
	assert.EqualValues(t, 3, n)
	rows, err := telemetry.GetMetric("otelcol_clickhouse_columnar_rows")
	require.NoError(t, err)
	assert.NotNil(t, rows)
	_, err = telemetry.GetMetric("otelcol_clickhouse_columnar_insert_duration")
	require.NoError(t, err)
	_, err = telemetry.GetMetric("otelcol_clickhouse_columnar_connections")
	require.NoError(t, err)
}

func TestTheFirstHostThatAnswersIsUsed(t *testing.T) {
	server := clickhousetest.Start(t)
	conn := server.Conn()
	require.NoError(t, conn.Exec(t.Context(), "CREATE DATABASE tailrace"))
	require.NoError(t, conn.Exec(t.Context(), table))
	e := startLogs(t, settings(), login(fmt.Sprintf("tcp://127.0.0.1:%d,%s", freeport.For(t), server.Addr())))
	require.NoError(t, e.ConsumeLogs(t.Context(), lines("x")))
}

// silent accepts connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { _, _ = io.Copy(io.Discard, c); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

func TestAServerThatSaysNothingIsNotWaitedForWithoutEnd(t *testing.T) {
	yaml := login("tcp://" + silent(t))
	yaml["dial_timeout"], yaml["timeout"], yaml["connections"] = "200ms", "1s", 1
	e := startLogs(t, settings(), yaml)
	begin := time.Now()
	var both sync.WaitGroup
	for range 2 { // the second one waits for the only connection
		both.Go(func() {
			err := e.ConsumeLogs(context.Background(), lines("x"))
			assert.Error(t, err)
			assert.False(t, consumererror.IsPermanent(err))
		})
	}
	both.Wait()
	assert.Less(t, time.Since(begin), 20*time.Second)
}

func TestWaitingForAConnectionEndsWithTheContext(t *testing.T) {
	yaml := login("tcp://" + silent(t))
	yaml["dial_timeout"], yaml["connections"] = "5s", 1
	e := startLogs(t, settings(), yaml)
	ctx, cancel := context.WithCancel(t.Context())
	var first sync.WaitGroup
	first.Go(func() { assert.Error(t, e.ConsumeLogs(ctx, lines("x"))) })
	time.AfterFunc(50*time.Millisecond, cancel)
	err := e.ConsumeLogs(ctx, lines("y"))
	require.ErrorIs(t, err, context.Canceled)
	first.Wait()
}

// TLS is ended by a proxy in front of the server, with a certificate that only the configured CA vouches for.
func TestTLS(t *testing.T) {
	server := clickhousetest.Start(t)
	conn := server.Conn()
	require.NoError(t, conn.Exec(t.Context(), "CREATE DATABASE tailrace"))
	require.NoError(t, conn.Exec(t.Context(), table))
	web := httptest.NewTLSServer(nil)
	certificate, ca := web.TLS.Certificates[0], web.Certificate()
	web.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				s, err := net.Dial("tcp", server.Addr())
				if err != nil {
					return
				}
				defer s.Close()
				var up sync.WaitGroup
				up.Go(func() { _, _ = io.Copy(s, c); _ = s.(*net.TCPConn).CloseWrite() })
				_, _ = io.Copy(c, s)
				_ = c.Close()
				up.Wait()
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600))

	yaml := login("tcp://" + l.Addr().String())
	yaml["tls"] = map[string]any{"ca_file": file}
	cfg, err := load(yaml)
	require.NoError(t, err)
	e, err := NewFactory().CreateLogs(t.Context(), settings(), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, e.ConsumeLogs(t.Context(), lines(strings.Repeat("secret ", 100_000))))
	require.NoError(t, e.Shutdown(context.Background()))

	delete(yaml, "tls")
	yaml["dial_timeout"] = "500ms"
	plain := startLogs(t, settings(), yaml)
	require.Error(t, plain.ConsumeLogs(t.Context(), lines("in the clear")))
	yaml["tls"] = map[string]any{}
	stranger := startLogs(t, settings(), yaml)
	require.ErrorContains(t, stranger.ConsumeLogs(t.Context(), lines("to whom?")), "certificate")
}

func TestMetricsWithoutDataAreCounted(t *testing.T) {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	cfg, err := load(login("tcp://127.0.0.1:1"))
	require.NoError(t, err)
	e, err := NewFactory().CreateMetrics(t.Context(), metadatatest.NewSettings(telemetry), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	md := pmetric.NewMetrics()
	md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetName("nothing")
	require.NoError(t, e.ConsumeMetrics(t.Context(), md), "there is nothing to insert, so nobody is asked")
	m, err := telemetry.GetMetric("otelcol_clickhouse_columnar_metrics_without_data")
	require.NoError(t, err)
	assert.NotNil(t, m)
	require.NoError(t, e.Shutdown(context.Background()))
	require.NoError(t, e.Shutdown(context.Background()))
}
