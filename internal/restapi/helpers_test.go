// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/querytest"
)

var t0 = querytest.T0

// filled has data of two projects in every table; the trace that routes name is of shop.
func filled(t testing.TB) *querytest.Store {
	t.Helper()
	s := querytest.New(t)
	s.Fill(t)
	return s
}

type fakePipeline struct{}

func (fakePipeline) Pipeline(context.Context) (Pipeline, error) {
	lag := 1.5
	return Pipeline{
		Files: []FilesStatus{{ID: "jsonl", Signal: "span", PendingFiles: 1}}, Ingest: []IngestStatus{{ID: "clickhouse_ingest", LagSeconds: &lag, Leader: true}},
		ClickHouse: &ClickHouseStatus{Ready: true},
	}, nil
}

// fakeFailed has files of two projects, the newest first.
type fakeFailed struct {
	mu    sync.Mutex
	files []pipelinestatus.FailedFile
	back  []string
	err   error
}

func newFakeFailed() *fakeFailed {
	f := &fakeFailed{}
	for i, project := range []string{"shop", "billing", "shop"} {
		f.files = append(f.files, pipelinestatus.FailedFile{
			ID: "clickhouse_ingest", File: fmt.Sprintf("logs/%s/%d+0.jsonl", project, i), Signal: "logs", Type: "logs", Project: project, Sure: true,
			Segment: fmt.Sprint(i), Bytes: 7, Time: t0.Add(-time.Duration(i) * time.Second),
		})
	}
	return f
}

func (f *fakeFailed) FailedFiles(context.Context) ([]pipelinestatus.FailedFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.files), nil
}

func (*fakeFailed) FailedReasons(_ context.Context, _, file string, _ int) ([]pipelinestatus.FailedReason, int, error) {
	return []pipelinestatus.FailedReason{{Line: 1, From: 0, To: 7, Kind: "refused", Reason: "why " + file, Token: "t"}}, 12, nil
}

func (f *fakeFailed) PutBack(_ context.Context, id, file string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.back = append(f.back, id+" "+file)
	f.files = slices.DeleteFunc(f.files, func(one pipelinestatus.FailedFile) bool { return one.ID == id && one.File == file })
	return nil
}

func viewer(projects ...access.Pattern) *access.Caller { return querytest.Viewer(projects...) }

// get asks the handler as a caller.
func get(t testing.TB, h http.Handler, caller *access.Caller, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if caller != nil {
		r = r.WithContext(access.NewContext(r.Context(), caller))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// decode reads a JSON answer as it is.
func decode(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var v map[string]any
	require.NoError(t, json.Unmarshal(body, &v), "%s", body)
	return v
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
