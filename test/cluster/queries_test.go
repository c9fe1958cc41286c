// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	tailrace "github.com/tailrace/tailrace/internal/clickhouse"
	"github.com/tailrace/tailrace/internal/insert"
	"github.com/tailrace/tailrace/internal/querytest"
	"github.com/tailrace/tailrace/internal/restapi"
)

// questions are asked of the REST API, {range} being the time of the data. Lists are read to their end.
var questions = []string{
	"/projects?{range}", "/deployments?{range}", "/servers?{range}", "/servers?{range}&project=shop", "/builds?{range}",
	"/servers/shop-1/logs?{range}&limit=400", "/servers/shop-2/logs?{range}&level=warn&limit=200", "/builds/shop-b1/logs?{range}",
	"/traces?{range}", "/traces?{range}&limit=60", "/traces?{range}&project=billing&status=error", "/traces?{range}&has_error=true&min_duration=100ms", "/traces?{range}&service=agent&limit=40",
	"/traces?{range}&text=chat", "/traces/73000000000000000000000000000001?{range}", "/traces/62000000000000000000000000000007?{range}&detail=light",
	"/spans?{range}&limit=300", "/spans?{range}&project=shop&status=error&limit=60", "/spans?{range}&attribute=n%3D7", "/spans?{range}&root_only=true", "/spans?{range}&order=asc&limit=300", "/spans/73000000000000000000000000000001/0000000000000005?{range}",
	"/logs?{range}&limit=500", "/logs?{range}&project=shop&level=warn&limit=60", "/logs?{range}&text=17", "/logs?{range}&regex=line%201.*9", "/logs?{range}&attribute=n%3D17", "/logs?{range}&order=asc&limit=400",
	"/logs?{range}&trace_id=73000000000000000000000000000005", "/logs?{range}&event_name=server.lifecycle", "/logs/shop0000000007?{range}", "/logs?{range}&around=shop0000000300&limit=20",
	"/metrics?{range}", "/metrics?{range}&project=shop&type=sum",
	"/metrics/series?{range}&name=memory", "/metrics/series?{range}&name=requests&step=1m", "/metrics/series?{range}&name=jobs&step=1m&group_by=project", "/metrics/series?{range}&name=latency&step=1m",
	"/metrics/series?{range}&name=size&step=2m", "/metrics/series?{range}&name=gc&step=1m",
	"/scores?{range}", "/scores?{range}&project=shop&name=relevance", "/scores/series?{range}&step=1m", "/scores/series?{range}&step=1h&group_by=project",
	"/stats/traces?{range}&step=1h", "/stats/traces?{range}&step=1m", "/stats/traces?{range}&step=1h&group_by=project", "/stats/errors?{range}&step=1h", "/stats/errors?{range}&step=1m&group_by=service",
	"/stats/usage?{range}&step=1h", "/stats/usage?{range}&step=1h&group_by=model", "/stats/usage?{range}&step=1h&group_by=project", "/stats/logs?{range}&step=1h", "/stats/logs?{range}&step=1m&group_by=server",
}

// views are read as users read them.
var views = []string{
	"span_counts_hourly", "log_counts_hourly", "usage_hourly", "trace_summaries", "trace_summaries_between(since = '2020-01-01 00:00:00', until = '2100-01-01 00:00:00')",
	"(SELECT TraceId, ProjectId, min(Start), max(End) FROM {db}.otel_traces_trace_id_ts GROUP BY TraceId, ProjectId)", "(SELECT DISTINCT Uid, Name, Value, Label FROM {db}.otel_scores)",
}

// testQueries: the same data gives the same answers as on one server.
func testQueries(t *testing.T, all nodes) {
	startKeeper(t, "tailrace", tailrace.Policy{}, all[0]).ready(t)
	one := querytest.New(t)
	var stores []*querytest.Store
	asked := nodes{all[0], all[3]} // one of each shard, one of each replica
	for _, n := range asked {
		conn, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{n.addr()}, Auth: clickhouse.Auth{Username: user, Password: password},
			Settings: clickhouse.Settings{insert.SettingForeground: 1},
		})
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		stores = append(stores, querytest.On(conn))
	}
	for _, s := range []*querytest.Store{one, stores[0]} {
		s.Exec(t, "INSERT INTO tailrace.model_prices (Version, Provider, Model, Since, Input, Output, CacheRead) VALUES (1, '', 'm', 0, 2, 10, 1)")
		s.Fill(t)
		// A sender that did not see the answer: not dropped by its token, but by its ids.
		s.Exec(t, "INSERT INTO tailrace.otel_traces SELECT * FROM tailrace.otel_traces WHERE SpanId LIKE '%7'")
		s.Exec(t, "INSERT INTO tailrace.otel_logs SELECT * FROM tailrace.otel_logs WHERE LogAttributes['n'] LIKE '%7'")
	}
	for _, n := range all {
		for _, table := range []string{"otel_traces", "otel_traces_trace_id_ts", "trace_states", "otel_logs", "log_states", "otel_scores", "otel_metrics_gauge", "otel_metrics_sum",
			"otel_metrics_histogram", "otel_metrics_exponential_histogram", "otel_metrics_summary"} {
			n.sync(t, "tailrace."+table+"_local")
		}
		n.sync(t, "tailrace.model_prices")
		for _, table := range []string{"otel_traces_local", "otel_logs_local", "otel_metrics_sum_local"} {
			require.NotZero(t, single(t, n.conn(), "SELECT count() FROM tailrace."+table), "%s has a share of %s", n, table)
		}
	}
	window := url.Values{"start": {querytest.T0.Add(-time.Hour).Format(time.RFC3339)}, "end": {querytest.T0.Add(3 * time.Hour).Format(time.RFC3339)}}.Encode()
	want := map[string]string{}
	for i, s := range append([]*querytest.Store{one}, stores...) {
		api := restapi.New(restapi.Options{Store: s})
		for _, q := range questions {
			got := ask(t, api, strings.ReplaceAll(q, "{range}", window))
			if i == 0 {
				assert.NotContains(t, got, `"data":[]`, "%s is answered by nothing", q)
				want[q] = got
				continue
			}
			assert.Equal(t, want[q], got, "%s, asked at %s", q, asked[i-1])
		}
		for _, v := range views {
			if !strings.HasPrefix(v, "(") {
				v = "tailrace." + v
			}
			v = strings.ReplaceAll(v, "{db}", "tailrace")
			var got string
			require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT arrayStringConcat(arraySort(groupArray(toString(tuple(*)))), '\n') FROM "+v).Scan(&got), v)
			if i == 0 {
				require.NotEmpty(t, got, v)
				want[v] = got
				continue
			}
			assert.Equal(t, want[v], got, "%s, asked at %s", v, asked[i-1])
		}
	}
}

// ask returns the answers to a question, page after page. What differs by the hour of asking is left out.
func ask(t *testing.T, api http.Handler, question string) string {
	t.Helper()
	var pages []string
	for cursor := ""; ; {
		r := httptest.NewRequest(http.MethodGet, restapi.Prefix+question+cursor, nil)
		r = r.WithContext(access.NewContext(r.Context(), access.Local()))
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		require.Equal(t, http.StatusOK, w.Code, "%s: %s", question, w.Body)
		var page struct {
			Data json.RawMessage `json:"data"`
			Next string          `json:"next_cursor"`
			More bool            `json:"has_more"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
		pages = append(pages, fmt.Sprintf(`"data":%s`, page.Data))
		if !page.More || strings.Contains(question, "around=") {
			return strings.Join(pages, "\n")
		}
		cursor = "&cursor=" + url.QueryEscape(page.Next)
		require.Less(t, len(pages), 500, question)
	}
}
