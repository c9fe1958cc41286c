// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package jsonlexporter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tailrace/tailrace/exporter/jsonlexporter/internal/metadatatest"
	"github.com/tailrace/tailrace/internal/lineformat"
	"github.com/tailrace/tailrace/internal/segment"
)

// contents returns the lines of every segment below dir, by type, project and table.
func contents(t *testing.T, dir string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	names, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.jsonl*"))
	require.NoError(t, err)
	for _, path := range names {
		n, ok := segment.Parse(path)
		require.True(t, ok, path)
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		info, err := f.Stat()
		require.NoError(t, err)
		c, err := segment.NewContent(f, info.Size(), n.Zstd)
		require.NoError(t, err)
		defer c.Close()
		data := make([]byte, c.Size())
		_, err = c.ReadAt(data, 0)
		require.NoError(t, err)
		rel, err := filepath.Rel(dir, filepath.Dir(path))
		require.NoError(t, err)
		key := filepath.ToSlash(rel)
		if n.Table != "" {
			key += " " + n.Table
		}
		all[key] = append(all[key], strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")...)
	}
	return all
}

func twoMetrics() pmetric.Metrics {
	md := pmetric.NewMetrics()
	sm := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty()
	g := sm.Metrics().AppendEmpty()
	g.SetName("up")
	g.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
	s := sm.Metrics().AppendEmpty()
	s.SetName("requests")
	s.SetEmptySum().DataPoints().AppendEmpty().SetIntValue(2)
	return md
}

// All encodings and compressions put the same records into the same places.
func TestEncodingsAndCompressions(t *testing.T) {
	for _, encoding := range []Encoding{EncodingOTLPJSON, EncodingFlatJSON} {
		for _, compression := range []Compression{CompressionNone, CompressionZstd} {
			t.Run(string(encoding)+" "+string(compression), func(t *testing.T) {
				dir := t.TempDir()
				cfg := testConfig(dir)
				cfg.Encoding, cfg.Compression = encoding, compression
				p := create(t, settings(), cfg)
				p.start(t, componenttest.NewNopHost())
				for range 3 {
					require.NoError(t, p.traces.ConsumeTraces(t.Context(), traces("shop", 4)))
					require.NoError(t, p.logs.ConsumeLogs(t.Context(), logs("shop", "a", "b")))
					require.NoError(t, p.metrics.ConsumeMetrics(t.Context(), twoMetrics()))
				}
				p.shutdown(t)
				want := map[string]int{"spans/shop": 3, "logs/shop": 3, "metrics/default": 3}
				format := lineformat.OTLPJSON
				if encoding == EncodingFlatJSON {
					want = map[string]int{"spans/shop": 12, "logs/shop": 6, "metrics/default gauge": 3, "metrics/default sum": 3}
					format = lineformat.FlatJSON
				}
				got := map[string]int{}
				for key, lines := range contents(t, dir) {
					got[key] = len(lines)
					for _, l := range lines {
						assert.Equal(t, format, lineformat.Detect([]byte(l)), l)
					}
				}
				assert.Equal(t, want, got)
				suffix := segment.SuffixPending
				if compression == CompressionZstd {
					suffix = segment.SuffixZstd
				}
				names, err := filepath.Glob(filepath.Join(dir, "spans", "shop", "*"))
				require.NoError(t, err)
				require.Len(t, names, 1)
				assert.True(t, strings.HasSuffix(names[0], suffix), names[0])
			})
		}
	}
}

// Senders learn whether to repeat, and when.
func TestErrorClasses(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Rotation.MaxBytes = 4000
	cfg.MaxDiskBytes = 4000
	p := create(t, settings(), cfg)
	p.start(t, componenttest.NewNopHost())
	defer p.shutdown(t)
	require.NoError(t, p.logs.ConsumeLogs(t.Context(), logs("p", strings.Repeat("x", 3000))))

	err := p.logs.ConsumeLogs(t.Context(), logs("p", strings.Repeat("y", 3000)))
	require.ErrorIs(t, err, segment.ErrFull)
	assert.False(t, consumererror.IsPermanent(err))
	s, ok := status.FromError(err)
	require.True(t, ok)
	assert.Equal(t, codes.ResourceExhausted, s.Code())
	require.Len(t, s.Details(), 1)
	assert.Equal(t, fullRetry, s.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().AsDuration())

	err = p.logs.ConsumeLogs(t.Context(), logs("p", strings.Repeat("z", 5000)))
	require.ErrorIs(t, err, segment.ErrTooLarge)
	assert.True(t, consumererror.IsPermanent(err))
	s, _ = status.FromError(err)
	assert.Equal(t, codes.InvalidArgument, s.Code())

	require.NoError(t, os.RemoveAll(filepath.Join(dir, "logs")))
	err = p.logs.ConsumeLogs(t.Context(), logs("p", "1"))
	require.ErrorIs(t, err, segment.ErrRemoved)
	assert.False(t, consumererror.IsPermanent(err))
	_, ok = status.FromError(err)
	assert.False(t, ok, "the receiver makes UNAVAILABLE of it")
}

func TestDropOldestIsCounted(t *testing.T) {
	tel := componenttest.NewTelemetry()
	set := metadatatest.NewSettings(tel)
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.Rotation.MaxBytes = 2000
	cfg.MaxDiskBytes = 10_000
	cfg.OnFull = OnFullDropOldest
	p := create(t, set, cfg)
	p.start(t, componenttest.NewNopHost())
	for range 20 {
		// Refused only while nothing is pending yet: publication runs beside the export.
		require.Eventually(t, func() bool {
			return p.logs.ConsumeLogs(t.Context(), logs("p", strings.Repeat("x", 1500))) == nil
		}, 30*time.Second, time.Millisecond)
	}
	dropped, err := tel.GetMetric("otelcol_jsonl_segments_dropped")
	require.NoError(t, err)
	bytes, err := tel.GetMetric("otelcol_jsonl_bytes_dropped")
	require.NoError(t, err)
	files, size := sum(t, dropped), sum(t, bytes)
	assert.GreaterOrEqual(t, files, int64(13))
	assert.Greater(t, size, files*1500)
	age, err := tel.GetMetric("otelcol_jsonl_oldest_age")
	require.NoError(t, err)
	assert.NotNil(t, age.Data)
	p.shutdown(t) // nothing is renamed any more
	assert.EqualValues(t, 20-files, len(contents(t, dir)["logs/p"]))
	require.NoError(t, tel.Shutdown(t.Context()))
}

func sum(t *testing.T, m metricdata.Metrics) (total int64) {
	t.Helper()
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		total += p.Value
	}
	return total
}
