// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tickerEnv makes this test binary play a child process that prints the time, as nanoseconds, on every line.
const tickerEnv = "TAILRACE_E2E_TICKER"

func TestMain(m *testing.M) {
	if every := os.Getenv(tickerEnv); every != "" {
		tick(every)
	}
	if spec := os.Getenv(chatterEnv); spec != "" {
		chatter(spec)
	}
	os.Exit(m.Run())
}

func tick(every string) {
	pause, err := time.ParseDuration(every)
	if err != nil {
		panic(err)
	}
	for range time.Tick(pause) {
		fmt.Printf("tick %d\n", time.Now().UnixNano())
	}
}

// BenchmarkReady measures start → OTLP accepting, and start → ClickHouse answering with its tables, warm.
func BenchmarkReady(b *testing.B) {
	p := startProduct(b, "config/local.yaml")
	p.stop()
	var otlp, all time.Duration
	for b.Loop() {
		begin := time.Now()
		p.start()
		p.await(20*time.Second, "OTLP", func() error { return p.sendLogs(logs("bench", "ready", 1)) })
		otlp += time.Since(begin)
		p.waitReady()
		all += time.Since(begin)
		p.stop()
	}
	b.ReportMetric(float64(otlp.Milliseconds())/float64(b.N), "ms-to-otlp")
	b.ReportMetric(float64(all.Milliseconds())/float64(b.N), "ms-to-ready")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkExample measures, with the example running for half a minute, the collector's memory and how long a line takes
// from a child's print to a WebSocket client and to a row in ClickHouse.
func BenchmarkExample(b *testing.B) {
	self, err := os.Executable()
	require.NoError(b, err)
	ticker := fmt.Sprintf(`      - {id: ticker-1, project: bench, deployment: ticker, command: [%q], dir: ".", env: {%s: 20ms}}
`, self, tickerEnv)
	local, err := os.ReadFile("../../config/local.yaml")
	require.NoError(b, err)
	config := strings.Replace(string(local), "    servers:\n", "    servers:\n"+ticker, 1)
	require.NotEqual(b, string(local), config)
	path := b.TempDir() + "/config.yaml"
	require.NoError(b, os.WriteFile(path, []byte(config), 0o600))

	var viewer50, viewer99, stored50, stored99, resident float64
	for b.Loop() {
		p := startProduct(b, path)
		v := p.watch("server:ticker-1")
		time.Sleep(30 * time.Second) // the time that is measured
		resident = p.residentMiB()

		var toViewer []float64
		for _, m := range v.all() {
			if nanos, ok := strings.CutPrefix(m.field("line"), "tick "); ok && m.Type == "server:log" {
				printed, err := strconv.ParseInt(nanos, 10, 64)
				require.NoError(b, err)
				toViewer = append(toViewer, float64(m.at.UnixNano()-printed)/1e6)
			}
		}
		viewer50, viewer99 = quantiles(b, toViewer)
		stored50, stored99 = quantiles(b, linesToRows(b, p))
		p.stop()
	}
	b.ReportMetric(viewer50, "ms-to-viewer-p50")
	b.ReportMetric(viewer99, "ms-to-viewer-p99")
	b.ReportMetric(stored50, "ms-to-row-p50")
	b.ReportMetric(stored99, "ms-to-row-p99")
	b.ReportMetric(resident, "MiB-resident")
	b.ReportMetric(0, "ns/op")
}

// linesToRows polls ClickHouse for the newest line and returns its age, in milliseconds, each time that it changed:
// an upper bound of the time from print to row, since a line waits for the poll too.
func linesToRows(b *testing.B, p *product) []float64 {
	var ages []float64
	last := ""
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		rows, err := p.conn.Query(b.Context(), `SELECT Body FROM tailrace.otel_logs
 WHERE ResourceAttributes['server.id'] = 'ticker-1' AND startsWith(Body, 'tick ') AND Body > $1 ORDER BY Body`, last)
		require.NoError(b, err)
		now, newest := time.Now().UnixNano(), last
		for rows.Next() {
			var body string
			require.NoError(b, rows.Scan(&body))
			printed, err := strconv.ParseInt(strings.TrimPrefix(body, "tick "), 10, 64)
			require.NoError(b, err)
			if last != "" {
				ages = append(ages, float64(now-printed)/1e6)
			}
			newest = body
		}
		require.NoError(b, rows.Err())
		rows.Close()
		last = newest
	}
	return ages
}

func quantiles(b *testing.B, values []float64) (p50, p99 float64) {
	b.Helper()
	require.NotEmpty(b, values)
	slices.Sort(values)
	return values[len(values)/2], values[len(values)*99/100]
}
