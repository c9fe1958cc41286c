// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
	"github.com/tailrace/tailrace/internal/querytest"
)

// as serves a handler to everyone as one caller.
func as(caller *access.Caller, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(access.NewContext(r.Context(), caller)))
	})
}

// exportRows is how many rows the export has: TAILRACE_TEST_EXPORT_ROWS, or what takes seconds.
func exportRows(t testing.TB) int {
	text := os.Getenv("TAILRACE_TEST_EXPORT_ROWS")
	if text == "" {
		return 200_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// rss is the resident memory of this process in bytes; 0 where that can't be read.
func rss() int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, behind, _ := strings.Cut(string(text), "VmRSS:")
	n, _ := strconv.Atoi(strings.Fields(behind + " 0")[0])
	return n << 10
}

func TestAnExportIsWholeAndSmall(t *testing.T) {
	n := exportRows(t)
	s := querytest.New(t)
	for from := 0; from < n; from += 1_000_000 {
		// About 300 lines a second, with a hole of a week in the middle.
		s.Exec(t, `INSERT INTO tailrace.otel_logs (Timestamp, SeverityNumber, ServiceName, Body, ResourceAttributes, LogAttributes)
SELECT fromUnixTimestamp64Nano(?) + toIntervalMillisecond(intDiv(n * 10, 3)) - if(n * 2 < ?, toIntervalDay(7), toIntervalDay(0)), 9, 'web', concat('line ', toString(n), ' of an export with some words in it'),
    map('project.id', 'shop', 'server.id', 'shop-1', 'service.name', 'web'), map('log.record.uid', leftPad(toString(n), 26, '0'), 'log.iostream', 'stdout', 'n', toString(n))
FROM (SELECT number + ? AS n FROM numbers(?))`, t0.UnixNano(), n, from, min(1_000_000, n-from))
	}
	server := httptest.NewServer(as(viewer("shop"), New(Options{Store: s})))
	defer server.Close()

	runtime.GC()
	var before, during runtime.MemStats
	runtime.ReadMemStats(&before)
	rssBefore, peakHeap, peakRSS := rss(), uint64(0), 0
	began := time.Now()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+Prefix+"/logs", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", ndjsonType)
	w, err := server.Client().Do(r)
	require.NoError(t, err)
	defer w.Body.Close()
	lines := bufio.NewScanner(w.Body)
	next := n - 1
	for lines.Scan() {
		var row struct{ UID string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		got, err := strconv.Atoi(row.UID)
		require.NoError(t, err)
		require.Equal(t, next, got, "each once, the newest first")
		if next--; next%20_000 == 0 {
			runtime.ReadMemStats(&during)
			peakHeap, peakRSS = max(peakHeap, during.HeapAlloc), max(peakRSS, rss())
		}
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, -1, next)
	t.Logf("%d rows in %v; heap %d -> at most %d MB, RSS %d -> at most %d MB", n, time.Since(began).Round(time.Millisecond),
		before.HeapAlloc>>20, peakHeap>>20, rssBefore>>20, peakRSS>>20)
	assert.Less(t, peakHeap, before.HeapAlloc+100<<20, "memory grows with the rows")
}

func TestAnExportThatFailsSaysSo(t *testing.T) {
	s := querytest.New(t)
	s.Logs(t, "shop", 20_000, 0, true)
	server := httptest.NewServer(as(viewer("shop"), New(Options{Store: s})))
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+Prefix+"/logs", nil)
	require.NoError(t, err)
	r.Header.Set("Accept", ndjsonType)
	w, err := server.Client().Do(r)
	require.NoError(t, err)
	defer w.Body.Close()
	in := bufio.NewReader(w.Body)
	_, err = in.ReadString('\n')
	require.NoError(t, err)
	s.Server.Kill() // the client has not taken the rest yet, and what is buffered is not all
	rest, err := io.ReadAll(in)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	last := string(rest[strings.LastIndexByte(strings.TrimSuffix(string(rest), "\n"), '\n')+1:])
	assert.Contains(t, last, `"error":{"type":"urn:tailrace:problem:store-away"`)
}

func TestExportsAreLimited(t *testing.T) {
	s := querytest.New(t)
	s.Logs(t, "shop", 100, 0, true)
	t.Run("in number", func(t *testing.T) {
		entered := make(chan struct{}, 1)
		busy := New(Options{Store: blocked{s, entered}, Exports: 1, Limits: query.Limits{ReadyWait: time.Minute}})
		ctx, cancel := context.WithCancel(access.NewContext(t.Context(), viewer("shop")))
		r := httptest.NewRequest(http.MethodGet, Prefix+"/logs", nil).WithContext(ctx)
		r.Header.Set("Accept", ndjsonType)
		done := make(chan struct{})
		go func() {
			defer close(done)
			busy.ServeHTTP(httptest.NewRecorder(), r)
		}()
		<-entered
		assert.Equal(t, http.StatusTooManyRequests, get(t, busy, viewer("shop"), Prefix+"/logs", "Accept", ndjsonType).Code)
		cancel()
		<-done
	})
	t.Run("in rows", func(t *testing.T) {
		w := get(t, New(Options{Store: s}), viewer("shop"), Prefix+"/logs?limit=7", "Accept", ndjsonType)
		assert.Equal(t, 7, strings.Count(w.Body.String(), "\n"))
	})
}

// blocked is a store that is never ready, and says so late.
type blocked struct {
	*querytest.Store
	entered chan struct{}
}

func (b blocked) WaitReady(ctx context.Context) error {
	b.entered <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func TestClickHouseAwayIs503(t *testing.T) {
	s := querytest.New(t)
	h := New(Options{Store: s, Limits: query.Limits{ReadyWait: time.Millisecond}})
	s.Server.Kill()
	for _, r := range routes {
		if strings.HasPrefix(r.path, "/pipeline") {
			continue
		}
		w := get(t, h, access.Local(), target(r))
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, r.path)
		assert.Equal(t, "2", w.Header().Get("Retry-After"))
		assert.Contains(t, w.Body.String(), "ClickHouse is away")
		assert.NotContains(t, w.Body.String(), "127.0.0.1", "addresses stay inside")
		if r.export != nil {
			assert.Equal(t, http.StatusServiceUnavailable, get(t, h, access.Local(), target(r), "Accept", ndjsonType).Code, r.path)
		}
	}
	assert.Equal(t, http.StatusServiceUnavailable, get(t, h, access.Local(), Prefix+"/pipeline").Code, "no source")
	h = New(Options{Store: s, Pipeline: fakePipeline{}, Failed: newFakeFailed()})
	for _, path := range []string{"/pipeline", "/pipeline/failed"} {
		assert.Equal(t, http.StatusOK, get(t, h, access.Local(), Prefix+path).Code, path)
	}
}

func TestFaultsStayInside(t *testing.T) {
	p := problemOf(errors.New("dial tcp 10.0.0.1:9000: SELECT secret"))
	assert.Equal(t, http.StatusInternalServerError, p.Status)
	assert.NotContains(t, p.Detail, "secret")
	for limit, status := range map[string]int{"rows": 422, "bytes": 422, "memory": 422, "answer": 422, "time": 504, "concurrency": 429} {
		p := problemOf(&query.LimitError{Limit: limit, Value: "x"})
		assert.Equal(t, status, p.Status, limit)
		assert.Equal(t, limit, p.Limit)
	}
}
