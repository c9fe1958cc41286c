// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/pipelinestatus"
)

func operator(projects ...access.Pattern) *access.Caller {
	return access.NewCaller("ada", "basic", time.Time{}, []access.Grant{{Role: access.RoleOperator, Projects: projects}})
}

// putBack asks the handler to put back what a body says.
func putBack(h http.Handler, caller *access.Caller, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, Prefix+putBackPath, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if caller != nil {
		r = r.WithContext(access.NewContext(r.Context(), caller))
	}
	return do(h, r)
}

func files(t *testing.T, w *httptest.ResponseRecorder) (names []string) {
	t.Helper()
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	for _, f := range decode(t, w.Body.Bytes())["data"].([]any) {
		names = append(names, f.(object)["file"].(string))
	}
	return names
}

func TestFailedFilesArePagedFilteredAndOnlyOnesOwn(t *testing.T) {
	f := newFakeFailed()
	f.files = append(f.files,
		pipelinestatus.FailedFile{ID: "clickhouse_ingest", File: "spans/shop/9.jsonl", Signal: "traces", Type: "spans", Project: "shop", Sure: true, Whole: true, Bytes: 5, Time: t0},
		pipelinestatus.FailedFile{ID: "clickhouse_ingest", File: "logs/shop~cut/1+0.jsonl", Signal: "logs", Type: "logs", Project: "shop", Bytes: 5, Time: t0.Add(time.Hour)},
	)
	h := New(Options{Store: nil, Failed: f})
	list := Prefix + "/pipeline/failed"
	own := []string{"logs/shop/0+0.jsonl", "spans/shop/9.jsonl", "logs/shop/2+0.jsonl"}
	assert.Equal(t, own, files(t, get(t, h, viewer("shop"), list)))
	assert.Equal(t, []string{"logs/shop~cut/1+0.jsonl", own[0], own[1], "logs/billing/1+0.jsonl", own[2]}, files(t, get(t, h, access.Local(), list)),
		"a file whose project is not sure is for those who may see everything")
	assert.Equal(t, own, files(t, get(t, h, access.Local(), list+"?project=shop")))
	assert.Equal(t, []string{"spans/shop/9.jsonl"}, files(t, get(t, h, viewer("sh*"), list+"?signal=traces")))
	assert.Empty(t, files(t, get(t, h, viewer("other"), list)))
	assert.Equal(t, 403, get(t, h, viewer("shop"), list+"?project=billing").Code)
	assert.Equal(t, 400, get(t, h, viewer("shop"), list+"?signal=smoke").Code)
	assert.Equal(t, 400, get(t, h, viewer("shop"), list+"?cursor=x").Code)
	assert.Equal(t, 503, get(t, New(Options{}), viewer("shop"), list).Code)

	// Page by page, also when the file at the cursor is put back and a new one comes meanwhile.
	var paged []string
	target := list + "?limit=1"
	for range own {
		w := get(t, h, viewer("shop"), target)
		paged = append(paged, files(t, w)...)
		answer := decode(t, w.Body.Bytes())
		target = list + "?limit=1&cursor=" + answer["next_cursor"].(string)
		require.Equal(t, len(paged) < len(own), answer["has_more"])
		if len(paged) == 1 {
			require.NoError(t, f.PutBack(t.Context(), "clickhouse_ingest", own[0]))
			f.files = append(f.files, pipelinestatus.FailedFile{ID: "x", File: "logs/shop/new.jsonl", Signal: "logs", Project: "shop", Sure: true, Time: t0.Add(time.Minute)})
		}
	}
	assert.Equal(t, own, paged)
	next := decode(t, get(t, h, viewer("shop"), list+"?limit=1").Body.Bytes())["next_cursor"].(string)
	assert.Equal(t, 400, get(t, h, viewer("shop"), list+"?signal=logs&cursor="+next).Code, "a cursor of another question")

	row := decode(t, get(t, h, viewer("shop"), list+"?signal=traces").Body.Bytes())["data"].([]any)[0].(object)
	assert.Equal(t, "file", row["kind"])
	assert.Equal(t, false, row["mayPutBack"])
	assert.Equal(t, 12.0, row["reasonCount"])
	assert.Equal(t, "refused", row["reasons"].([]any)[0].(object)["class"])
	row = decode(t, get(t, h, operator("shop"), list+"?signal=traces").Body.Bytes())["data"].([]any)[0].(object)
	assert.Equal(t, true, row["mayPutBack"])
}

func TestPutBackForEveryCaller(t *testing.T) {
	s := newSchemas(t)
	f := newFakeFailed()
	var told []string
	h := New(Options{Failed: f, WasPutBack: func(_ *http.Request, f pipelinestatus.FailedFile, status int) {
		told = append(told, fmt.Sprint(f.File, " ", status))
	}})
	const file, foreign = "logs/shop/0+0.jsonl", "logs/billing/1+0.jsonl"
	body := func(file string) string { return `{"file": "` + file + `"}` }
	ask := func(caller *access.Caller, body string, want int, header ...string) string {
		t.Helper()
		w := putBack(h, caller, body, header...)
		require.Equal(t, want, w.Code, "%s: %s", body, w.Body)
		if want != http.StatusOK {
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			s.validate(t, "/components/schemas/Problem", w.Body.Bytes())
		}
		return w.Body.String()
	}
	expired := access.NewCaller("ada", "basic", time.Now().Add(-time.Second), []access.Grant{{Role: access.RoleOperator, Projects: []access.Pattern{"*"}}})
	ask(nil, body(file), 401)
	ask(expired, body(file), 401)
	ask(viewer("shop"), body(file), 403)
	ask(viewer("*"), body(file), 403)
	for _, caller := range []*access.Caller{viewer("other"), operator("other"), operator("*-shop"), access.NewCaller("ada", "basic", time.Time{}, nil)} {
		assert.NotContains(t, ask(caller, body(file), 404), "shop", "whether it is there is not told")
	}
	both := access.NewCaller("ada", "basic", time.Time{}, []access.Grant{{Role: access.RoleOperator, Projects: []access.Pattern{"shop"}}, {Role: access.RoleViewer, Projects: []access.Pattern{"billing"}}})
	ask(both, body(foreign), 403)
	for _, evil := range []string{"../" + file, "logs/shop/../shop/0+0.jsonl", "/" + file, file + "/", "logs/shop/failed/0+0.jsonl", "logs/shop/0+0.reasons.ndjson", `logs\\shop\\0+0.jsonl`, "LOGS/shop/0+0.jsonl", "logs%2Fshop%2F0+0.jsonl"} {
		ask(operator("*"), body(evil), 404)
	}
	for _, wrong := range []string{"", "{}", "[]", body(file) + body(file), `{"file": 7}`, `{"file": "x", "force": true}`, `{"file": "` + strings.Repeat("x", maxPutBackBytes) + `"}`} {
		ask(operator("*"), wrong, 400)
	}
	ask(operator("shop"), body(file), 415, "Content-Type", "text/plain")
	assert.Empty(t, f.back)
	told = nil

	for want, err := range map[int]error{409: &pipelinestatus.PutBackError{Reason: "all of it was loaded"}, 503: &pipelinestatus.PutBackError{Reason: "busy", Later: true}, 404: pipelinestatus.ErrNoFailedFile, 500: errors.New("disk sda1 is gone")} {
		f.err = err
		answer := ask(operator("shop"), body(file), want)
		assert.NotContains(t, answer, "sda1")
		if want == 409 {
			assert.Contains(t, answer, "all of it was loaded")
		}
	}
	f.err = nil
	w := putBack(h, operator("shop"), body(file))
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	s.validate(t, "/paths/"+escape(putBackPath)+"/post/responses/200/content/"+escape("application/json")+"/schema", w.Body.Bytes())
	assert.Equal(t, []string{"clickhouse_ingest " + file}, f.back)
	ask(operator("shop"), body(file), 404)
	assert.ElementsMatch(t, []string{file + " 409", file + " 503", file + " 404", file + " 500", file + " 200"}, told)

	// Two components with a file of one name.
	f.files = append(f.files, pipelinestatus.FailedFile{ID: "clickhouse_ingest/b", File: foreign, Project: "billing", Sure: true})
	assert.Contains(t, ask(operator("billing"), body(foreign), 409), "clickhouse_ingest/b")
	require.Equal(t, 200, putBack(h, operator("billing"), `{"id": "clickhouse_ingest/b", "file": "`+foreign+`"}`).Code)

	w = get(t, h, operator("shop"), Prefix+putBackPath)
	assert.Equal(t, 405, w.Code)
	assert.Equal(t, "POST", w.Header().Get("Allow"))
}
