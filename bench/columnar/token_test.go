// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package columnar

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/insert"
)

// both runs a test with each exporter, on a server of its own.
func both(t *testing.T, test func(t *testing.T, server *clickhousetest.Server, s *sink)) {
	for _, which := range []struct {
		name string
		run  func(t *testing.T, server *clickhousetest.Server) *sink
	}{
		{"contrib", func(t *testing.T, server *clickhousetest.Server) *sink {
			return start(t, server, "contrib", "db", contrib.factory(), contrib.yaml)
		}},
		{"columnar", func(t *testing.T, server *clickhousetest.Server) *sink {
			return start(t, server, "columnar", "db", ours.factory(), ours.yaml)
		}},
	} {
		t.Run(which.name, func(t *testing.T) {
			server := clickhousetest.Start(t)
			tables(t, server, "db")
			test(t, server, which.run(t, server))
		})
	}
}

// days are log records on so many days, as many partitions.
func days(n, each int) plog.Logs {
	ld := plog.NewLogs()
	to := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range n * each {
		r := to.AppendEmpty()
		r.SetTimestamp(pcommon.NewTimestampFromTime(time.Date(2026, 3, 1+i%n, 0, 0, 0, i, time.UTC)))
		r.Body().SetStr(fmt.Sprint("record ", i))
	}
	return ld
}

// five are data points of all five tables.
func five(each int) pmetric.Metrics {
	md := pmetric.NewMetrics()
	to := md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics()
	at := pcommon.NewTimestampFromTime(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	for i := range each {
		name := fmt.Sprint("metric ", i)
		for kind := range 5 {
			m := to.AppendEmpty()
			m.SetName(name)
			switch kind {
			case 0:
				m.SetEmptyGauge().DataPoints().AppendEmpty().SetTimestamp(at)
			case 1:
				m.SetEmptySum().DataPoints().AppendEmpty().SetTimestamp(at)
			case 2:
				m.SetEmptyHistogram().DataPoints().AppendEmpty().SetTimestamp(at)
			case 3:
				m.SetEmptyExponentialHistogram().DataPoints().AppendEmpty().SetTimestamp(at)
			case 4:
				m.SetEmptySummary().DataPoints().AppendEmpty().SetTimestamp(at)
			}
		}
	}
	return md
}

var metricTables = tableNames[2:]

func TestABatchThatIsRepeatedUnderItsTokenIsThereOnce(t *testing.T) {
	both(t, func(t *testing.T, server *clickhousetest.Server, s *sink) {
		conn := server.Conn()
		d := dice{rand.New(rand.NewPCG(3, 4))}
		spans, points := d.traces(200), five(10)
		for range 3 {
			require.NoError(t, s.send(insert.NewContext(t.Context(), "a"), spans))
			require.NoError(t, s.send(insert.NewContext(t.Context(), "b"), days(20, 50)))
			require.NoError(t, s.send(insert.NewContext(t.Context(), "c"), points))
		}
		assert.EqualValues(t, spans.SpanCount(), count(t, conn, "db.otel_traces"))
		assert.EqualValues(t, 1000, count(t, conn, "db.otel_logs"))
		for _, table := range metricTables {
			assert.EqualValues(t, 10, count(t, conn, "db."+table), table)
		}
		require.NoError(t, s.send(insert.NewContext(t.Context(), "d"), days(20, 50)))
		assert.EqualValues(t, 2000, count(t, conn, "db.otel_logs"), "the same rows under another token are other rows")
	})
}

// One of five tables is away: the others take their rows, the error heals, and the repetition brings what is missing and nothing else.
func TestABatchOfWhichOneTableFailed(t *testing.T) {
	both(t, func(t *testing.T, server *clickhousetest.Server, s *sink) {
		conn := server.Conn()
		for i, table := range metricTables {
			require.NoError(t, conn.Exec(t.Context(), "RENAME TABLE db."+table+" TO db.away"))
			ctx := insert.NewContext(t.Context(), fmt.Sprint("token ", i))
			err := s.send(ctx, five(10))
			require.Error(t, err)
			class, name := insert.Classify(err)
			assert.Equal(t, insert.Heals, class, "%v", err)
			assert.Contains(t, name, "table is missing")
			assert.False(t, consumererror.IsPermanent(err))
			for _, other := range metricTables {
				if other != table {
					assert.EqualValues(t, 10*(i+1), count(t, conn, "db."+other), "%s while %s is away", other, table)
				}
			}
			require.NoError(t, conn.Exec(t.Context(), "RENAME TABLE db.away TO db."+table))
			require.NoError(t, s.send(ctx, five(10)))
			for _, other := range metricTables {
				assert.EqualValues(t, 10*(i+1), count(t, conn, "db."+other), "%s after %s came back", other, table)
			}
		}
	})
}

// ClickHouse is killed while it writes the parts of twenty partitions: the repetition completes what is there.
func TestABatchOfManyPartitionsThatWasCutOff(t *testing.T) {
	both(t, func(t *testing.T, server *clickhousetest.Server, s *sink) {
		const batches, each = 8, 2000
		data := days(20, each/20)
		failed := 0
		for i := range batches {
			ctx := insert.NewContext(t.Context(), fmt.Sprint("batch ", i))
			var killing sync.WaitGroup
			killing.Go(func() {
				time.Sleep(time.Duration(rand.IntN(25)) * time.Millisecond)
				server.Kill()
				server.Run()
			})
			for s.send(ctx, data) != nil {
				failed++
				time.Sleep(20 * time.Millisecond) // until the server is back
			}
			killing.Wait()
			require.Eventually(t, func() bool { return s.send(ctx, data) == nil }, time.Minute, 20*time.Millisecond)
		}
		t.Log("sends that failed:", failed)
		assert.Positive(t, failed)
		assert.EqualValues(t, batches*each, count(t, server.Conn(), "db.otel_logs"))
	})
}

// A view that refuses: the table has the rows, the view gets them with the repetition, each once.
func TestAViewThatRefusedHasEveryRowOnce(t *testing.T) {
	both(t, func(t *testing.T, server *clickhousetest.Server, s *sink) {
		conn := server.Conn()
		for _, q := range []string{
			"CREATE TABLE db.seen (Body String) ENGINE = MergeTree ORDER BY Body SETTINGS non_replicated_deduplication_window = 1000",
			"CREATE TABLE db.stop (x UInt8) ENGINE = MergeTree ORDER BY x", "INSERT INTO db.stop VALUES (1)",
			"CREATE MATERIALIZED VIEW db.seen_mv TO db.seen AS SELECT Body FROM db.otel_logs WHERE throwIf((SELECT count() FROM db.stop) > 0) = 0",
		} {
			require.NoError(t, conn.Exec(t.Context(), q))
		}
		ctx := insert.NewContext(t.Context(), "t")
		err := s.send(ctx, days(5, 10))
		require.Error(t, err)
		class, _ := insert.Classify(err)
		assert.Equal(t, insert.Heals, class, "in pieces under other tokens the table would have the rows twice: %v", err)
		require.NoError(t, conn.Exec(t.Context(), "TRUNCATE TABLE db.stop"))
		require.NoError(t, s.send(ctx, days(5, 10)))
		assert.EqualValues(t, 50, count(t, conn, "db.otel_logs"))
		assert.EqualValues(t, 50, count(t, conn, "db.seen"))
	})
}

// A record that the table refuses: whoever set the token can take the batch apart, so the error says what it is and is not permanent.
func TestARefusedRecordIsToldByItsCode(t *testing.T) {
	both(t, func(t *testing.T, server *clickhousetest.Server, s *sink) {
		conn := server.Conn()
		require.NoError(t, conn.Exec(t.Context(), "ALTER TABLE db.otel_logs ADD CONSTRAINT c CHECK Body != 'record 7'"))
		err := s.send(insert.NewContext(t.Context(), "t"), days(5, 10))
		require.Error(t, err)
		class, name := insert.Classify(err)
		assert.Equal(t, insert.Refused, class)
		assert.Contains(t, name, "469")
		assert.False(t, consumererror.IsPermanent(err))
		assert.Zero(t, count(t, conn, "db.otel_logs"), "nothing of the block is written")

		// 101 partitions in one insert are a fault of the batch too.
		err = s.send(insert.NewContext(context.Background(), "u"), days(101, 1))
		require.Error(t, err)
		class, _ = insert.Classify(err)
		assert.Equal(t, insert.Refused, class, "%v", err)
	})
}
