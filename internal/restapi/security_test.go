// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
	"github.com/tailrace/tailrace/internal/querytest"
)

// traces of the foreign project in an answer: its name, its servers, uids and trace ids (its first letter in hexadecimal).
func foreign(body string) string {
	for _, mark := range []string{"billing", "b-1", `"62000000`} {
		if strings.Contains(body, mark) {
			return mark
		}
	}
	return ""
}

func TestEveryRouteForEveryCaller(t *testing.T) {
	h := New(Options{Store: filled(t), Pipeline: fakePipeline{}, Failed: newFakeFailed()})
	grants := func(role access.Role, projects ...access.Pattern) []access.Grant {
		return []access.Grant{{Role: role, Projects: projects}}
	}
	own := map[string]*access.Caller{
		"viewer":              viewer("shop"),
		"viewer by a pattern": viewer("sho*"),
		"operator":            access.NewCaller("ada", "basic", time.Time{}, grants(access.RoleOperator, "shop")),
		"not expired":         access.NewCaller("ada", "basic", time.Now().Add(time.Hour), grants(access.RoleViewer, "shop")),
	}
	wrong := map[string]*access.Caller{
		"wrong project":   viewer("other"),
		"wrong pattern":   viewer("*-shop", "shop-*", "s_op", "%"),
		"role of nothing": access.NewCaller("ada", "basic", time.Time{}, grants(access.RoleNone, "shop")),
		"nothing":         access.NewCaller("ada", "basic", time.Time{}, nil),
	}
	refused := map[string]*access.Caller{
		"no token": nil,
		"expired":  access.NewCaller("ada", "basic", time.Now().Add(-time.Second), grants(access.RoleOperator, "*")),
	}
	for _, r := range routes {
		for _, accept := range []string{"application/json", ndjsonType} {
			if accept == ndjsonType && r.export == nil {
				continue
			}
			target := target(r)
			if slices.Contains(query.Parameters(r.kind), "group_by") {
				target += "&step=1h&group_by=project"
			}
			for name, caller := range own {
				w := get(t, h, caller, target, "Accept", accept)
				require.Equal(t, http.StatusOK, w.Code, "%s %s: %s", r.path, name, w.Body)
				assert.Empty(t, foreign(w.Body.String()), "%s %s", r.path, name)
				if r.path != "/pipeline" {
					assert.Contains(t, w.Body.String(), "shop", "%s %s", r.path, name) // the rows that are its own
				}
			}
			for name, caller := range wrong {
				w := get(t, h, caller, target, "Accept", accept)
				assert.Contains(t, []int{200, 403, 404}, w.Code, "%s %s", r.path, name)
				assert.Empty(t, foreign(w.Body.String()), "%s %s", r.path, name)
				if !strings.Contains(r.path, "{") && r.path != "/pipeline" {
					assert.NotContains(t, w.Body.String(), "shop", "%s %s", r.path, name)
				}
				if w.Code == 200 && accept == ndjsonType {
					assert.Empty(t, w.Body.String())
				}
			}
			for name, caller := range refused {
				w := get(t, h, caller, target, "Accept", accept)
				assert.Equal(t, http.StatusUnauthorized, w.Code, "%s %s", r.path, name)
				assert.Contains(t, w.Body.String(), "unauthenticated")
			}
		}
	}
	r, err := http.NewRequest(http.MethodPost, Prefix+putBackPath, nil) // for every caller: TestPutBackForEveryCaller
	require.NoError(t, err)
	assert.Equal(t, 401, do(h, r).Code)
	for _, path := range []string{"/openapi.json"} {
		assert.Equal(t, 401, get(t, h, nil, Prefix+path).Code)
		assert.Equal(t, 200, get(t, h, viewer("shop"), Prefix+path).Code)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		r, err := http.NewRequest(method, Prefix+"/spans", nil)
		require.NoError(t, err)
		w := do(h, r.WithContext(access.NewContext(context.Background(), access.Local())))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	}
	// Details of others are not there, rather than forbidden.
	for _, path := range []string{"/traces/62000000000000000000000000000001", "/spans/62000000000000000000000000000001/0000000000000005", "/logs/billing0000000100", "/logs?around=billing0000000100"} {
		assert.Equal(t, http.StatusNotFound, get(t, h, viewer("shop"), Prefix+path).Code, path)
		assert.Equal(t, http.StatusOK, get(t, h, viewer("billing"), Prefix+path).Code, path)
	}
}

// injections try to leave the place of a value, in SQL, in LIKE, in regular expressions, in arrays and parameters.
var injections = []string{
	"'", "''", `\'`, `\\'`, "' OR 1=1 --", "' OR '1'='1", `\' OR 1=1 --`, "') OR 1=1 --", "')) OR 1=1 #", "'; DROP TABLE tailrace.otel_traces; --", "x' UNION ALL SELECT * FROM tailrace.otel_logs --",
	"1 OR 1=1", "1) OR (1=1", "billing' OR ProjectId='billing", "' OR ProjectId LIKE '%", "%", "_", "%25", "*", "b*", ".*", "{p1:String}", "{p1:Identifier}", "${x}", "unhex('62')", "`", "\"", "/*", "*/", "--", "#",
	"62696c6c696e67", "\n", "\t", "\\n", "\u2028", "ʼ", "＇", "[1,2]", "('a','b')", "NULL", "true", "0x62", "1e9", "-1", "SETTINGS readonly=0", "' SETTINGS readonly=0 --", "FORMAT JSON", "\\x27 OR 1=1", "%27%20OR%201=1",
	"project=billing", "project.id=billing' OR 'a'='a", "k=' OR 1=1 --", "' OR 1=1 --=v", "file('/etc/passwd')", "' OR sleep(3)=0 --",
}

func TestInjections(t *testing.T) {
	s := filled(t)
	h := New(Options{Store: s, Pipeline: fakePipeline{}, Failed: newFakeFailed()})
	caller := viewer("shop")
	count := func() (n uint64) {
		require.NoError(t, s.Conn().QueryRow(t.Context(), "SELECT (SELECT count() FROM tailrace.otel_traces) + (SELECT count() FROM tailrace.otel_logs)").Scan(&n))
		return n
	}
	before := count()
	ask := func(target string) {
		t.Helper()
		w := get(t, h, caller, target)
		body := w.Body.String()
		if mark := foreign(strings.ReplaceAll(body, "parameter", "")); mark != "" && w.Code == http.StatusOK {
			t.Errorf("%s answers with %s: %.500s", target, mark, body)
		}
		if w.Code == http.StatusInternalServerError || strings.Contains(body, "Syntax error") || strings.Contains(body, "DB::Exception") {
			t.Errorf("%s: %d %s", target, w.Code, body)
		}
	}
	// Every value goes through every parameter: all of them at once where a parameter may be repeated, and alone for a seventeenth of them, or for all
	// with TAILRACE_TEST_INJECTIONS=all (minutes).
	thorough := os.Getenv("TAILRACE_TEST_INJECTIONS") == "all"
	asked := 0
	for i, r := range routes {
		for j, name := range query.Parameters(r.kind) {
			together := url.Values{name: injections}
			if need := needed[r.path]; need != "" && name != "name" {
				together.Set("name", strings.TrimPrefix(need, "name="))
			}
			ask(Prefix + example.Replace(r.path) + "?" + together.Encode())
			for k, value := range injections {
				if !thorough && name != "regex" && (i+j+k)%17 != 0 {
					continue
				}
				query := url.Values{name: {value}}
				if need := needed[r.path]; need != "" && name != "name" {
					query.Set("name", strings.TrimPrefix(need, "name="))
				}
				ask(Prefix + example.Replace(r.path) + "?" + query.Encode())
				asked++
			}
		}
		if strings.Contains(r.path, "{") {
			for _, value := range injections {
				path := r.path
				for strings.Contains(path, "{") {
					begin, end := strings.Index(path, "{"), strings.Index(path, "}")
					path = path[:begin] + url.PathEscape(value) + path[end+1:]
				}
				ask(Prefix + path)
				asked++
			}
		}
		for _, value := range injections { // as the name of a parameter
			ask(Prefix + example.Replace(r.path) + "?" + url.Values{value: {"x"}}.Encode())
		}
	}
	assert.Greater(t, asked, 30*len(routes))
	assert.Equal(t, before, count())
}

// TestNoSequenceOfRequestsSeesAForeignRow asks at random, follows cursors (its own and those of another caller), and changes
// the filters on the way.
func TestNoSequenceOfRequestsSeesAForeignRow(t *testing.T) {
	h := New(Options{Store: filled(t), Pipeline: fakePipeline{}, Failed: newFakeFailed()})
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	values := map[string][]string{
		"project": {"shop", "billing", "*", "sh*"}, "service": {"web", "agent"}, "server": {"shop-1", "billing-1", "b-1"}, "deployment": {"prod"}, "build": {"shop-b1", "billing-b1"},
		"name": {"GET /", "chat m", "relevance", "memory", "latency"}, "kind": {"server", "client"}, "status": {"error", "ok"}, "level": {"info", "error", "unset"}, "text": {"line", "billing", "score"}, "regex": {"b.*", ".", "line [0-9]+"},
		"resource": {"project.id=billing", "project.id=shop"}, "attribute": {"project.id=billing", "n", "n=7", "server.id=billing-1", "log.record.uid"}, "trace_id": {"62000000000000000000000000000001", "73000000000000000000000000000001"},
		"has_error": {"true", "false"}, "root_only": {"true"}, "min_duration": {"5ms"}, "max_duration": {"100ms"}, "event_name": {"server.health", "gen_ai.evaluation.result"}, "label": {"good"}, "type": {"gauge", "histogram"},
		"start": {"-10d", t0.Format(time.RFC3339)}, "end": {"now", t0.Add(time.Hour).Format(time.RFC3339)}, "since": {"-10d"}, "limit": {"1", "7", "1000"}, "tail": {"3"}, "order": {"asc", "desc"}, "detail": {"full", "light"},
		"around": {"shop0000000010", "billing0000000010"}, "step": {"1h", "6h"}, "group_by": {"project", "service", "server"}, "aggregate": {"count", "avg"}, "model": {"m"}, "signal": {"logs", "traces"},
	}
	paths := strings.NewReplacer("shop", "billing", "73000000", "62000000")
	cursors := []string{}
	const n = 300
	answered := 0
	for range n {
		r := routes[random.IntN(len(routes))]
		caller := viewer("shop")
		honest := random.IntN(4) != 0
		if !honest {
			caller = viewer("billing") // to have its cursors
		}
		q := url.Values{}
		if need := needed[r.path]; need != "" {
			q.Set("name", strings.TrimPrefix(need, "name="))
		}
		for _, name := range query.Parameters(r.kind) {
			switch {
			case name == "cursor" || name == "before" || name == "after":
				if len(cursors) > 0 && random.IntN(3) == 0 && !q.Has("cursor") && !q.Has("before") && !q.Has("around") {
					q.Set(name, pick(cursors))
				}
			case random.IntN(5) == 0 && (name != "around" || !q.Has("cursor") && !q.Has("before") && !q.Has("after")):
				q.Set(name, pick(values[name]))
			}
		}
		path := example.Replace(r.path)
		if random.IntN(2) == 0 {
			path = paths.Replace(path)
		}
		header := []string{}
		if r.export != nil && random.IntN(3) == 0 {
			header = []string{"Accept", ndjsonType}
		}
		w := get(t, h, caller, Prefix+path+"?"+q.Encode(), header...)
		require.NotEqual(t, http.StatusInternalServerError, w.Code, "%s?%s: %s (seed %d)", path, q.Encode(), w.Body, seed)
		if w.Code != http.StatusOK {
			continue
		}
		answered++
		body := w.Body.String()
		if honest {
			require.Empty(t, foreign(body), "%s?%s (seed %d)", path, q.Encode(), seed)
		}
		if len(header) == 0 {
			answer := decode(t, w.Body.Bytes())
			for _, key := range []string{"next_cursor", "prev_cursor"} {
				if c, ok := answer[key].(string); ok && c != "" {
					cursors = append(cursors, c)
				}
			}
		}
	}
	assert.Greater(t, answered, n/10)

	// A cursor of another caller works, for the same question, and shows the own rows only.
	w := get(t, h, viewer("billing"), Prefix+"/logs?limit=5")
	c, _ := decode(t, w.Body.Bytes())["next_cursor"].(string)
	require.NotEmpty(t, c)
	w = get(t, h, viewer("shop"), Prefix+"/logs?limit=1000&cursor="+c)
	require.Equal(t, 200, w.Code)
	assert.Empty(t, foreign(w.Body.String()))
}

func TestARestrictionThatChangesIsHonouredByTheNextPage(t *testing.T) {
	s := querytest.New(t)
	s.Logs(t, "shop", 30, 0, true)
	h := New(Options{Store: s})
	w := get(t, h, viewer("shop"), Prefix+"/logs?limit=5")
	c := decode(t, w.Body.Bytes())["next_cursor"].(string)
	w = get(t, h, viewer("other"), Prefix+"/logs?limit=5&cursor="+c)
	assert.JSONEq(t, fmt.Sprintf(`{"data": [], "next_cursor": %q, "has_more": false}`, c), w.Body.String())
}
