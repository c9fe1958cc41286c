// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package restapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/query"
)

type object = map[string]any

// schemas validates against schemas of the document.
type schemas struct {
	compiler *jsonschema.Compiler
	doc      object
}

func newSchemas(t testing.TB) schemas {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document(nil))))
	require.NoError(t, err)
	strict(doc)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	require.NoError(t, c.AddResource("openapi.json", doc))
	return schemas{c, doc.(object)}
}

// strict makes every object with properties refuse others, so that an answer can't have what the document lacks.
func strict(v any) {
	switch v := v.(type) {
	case object:
		if _, ok := v["properties"]; ok && v["type"] == "object" {
			if _, ok := v["additionalProperties"]; !ok {
				v["additionalProperties"] = false
			}
		}
		for _, below := range v {
			strict(below)
		}
	case []any:
		for _, below := range v {
			strict(below)
		}
	}
}

func (s schemas) validate(t testing.TB, pointer string, body []byte) {
	t.Helper()
	schema, err := s.compiler.Compile("openapi.json#" + pointer)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	require.NoError(t, err, "%s", body)
	if err := schema.Validate(value); err != nil {
		t.Errorf("%s\n%v\n%.2000s", pointer, err, body)
	}
}

func escape(path string) string { return strings.ReplaceAll(path, "/", "~1") }

// answerSchema is where the schema of a route's answer is.
func answerSchema(path, media string) string {
	return "/paths/" + escape(path) + "/get/responses/200/content/" + escape(media) + "/schema"
}

// example fills the parameters in a path.
var example = strings.NewReplacer("{serverId}", "shop-1", "{buildId}", "shop-b1", "{traceId}", "73000000-0000-0000-0000-000000000001", "{spanId}", "0000000000000005", "{uid}", "shop0000000100")

// needed are the query parameters without which a route answers nothing.
var needed = map[string]string{"/metrics/series": "name=memory"}

func rangeOfData() string {
	return "start=" + t0.Add(-time.Minute).Format(time.RFC3339) + "&end=" + t0.Add(10*time.Minute).Format(time.RFC3339)
}

func target(rt route) string {
	out := Prefix + example.Replace(rt.path) + "?" + needed[rt.path]
	if slices.Contains(query.Parameters(rt.kind), "start") {
		out += "&" + rangeOfData()
	}
	return out
}

func TestDocumentAndRoutesAreTheSame(t *testing.T) {
	doc := newSchemas(t).doc
	paths := doc["paths"].(object)
	want := []string{"/openapi.json", putBackPath} // the one that is no GET
	for _, r := range routes {
		want = append(want, r.path)
	}
	slices.Sort(want)
	assert.Equal(t, want, slices.Sorted(maps.Keys(paths)))

	components := doc["components"].(object)["parameters"].(object)
	for _, r := range routes {
		inQuery := []string{}
		for _, p := range paths[r.path].(object)["get"].(object)["parameters"].([]any) {
			name := strings.TrimPrefix(p.(object)["$ref"].(string), "#/components/parameters/")
			p, ok := components[name].(object)
			require.True(t, ok, name)
			require.Equal(t, name, p["name"])
			if p["in"] == "query" {
				inQuery = append(inQuery, name)
			} else {
				assert.Contains(t, r.path, "{"+name+"}")
			}
		}
		slices.Sort(inQuery)
		assert.ElementsMatch(t, query.Parameters(r.kind), inQuery, r.path)
		_, ndjson := paths[r.path].(object)["get"].(object)["responses"].(object)["200"].(object)["content"].(object)[ndjsonType]
		assert.Equal(t, r.export != nil, ndjson, r.path)
	}
}

func TestEveryRouteAnswersAsDocumented(t *testing.T) {
	h := New(Options{Store: filled(t), Pipeline: fakePipeline{}, Failed: newFakeFailed()})
	s := newSchemas(t)
	for _, r := range routes {
		t.Run(r.path, func(t *testing.T) {
			w := get(t, h, access.Local(), target(r))
			require.Equal(t, http.StatusOK, w.Code, "%s: %s", target(r), w.Body)
			assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
			s.validate(t, answerSchema(r.path, "application/json"), w.Body.Bytes())
			assert.NotEmpty(t, decode(t, w.Body.Bytes())["data"], "nothing was there to be validated")

			if r.export == nil {
				assert.Equal(t, http.StatusNotAcceptable, get(t, h, access.Local(), target(r), "Accept", ndjsonType).Code)
				return
			}
			w = get(t, h, access.Local(), target(r), "Accept", ndjsonType)
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			assert.Equal(t, ndjsonType, w.Header().Get("Content-Type"))
			n := 0
			for line := range strings.Lines(w.Body.String()) {
				s.validate(t, answerSchema(r.path, ndjsonType), []byte(line))
				n++
			}
			assert.Positive(t, n)
		})
	}
	t.Run("series of every kind of metric", func(t *testing.T) {
		for _, name := range []string{"memory", "requests", "jobs", "latency", "size", "gc"} {
			w := get(t, h, access.Local(), Prefix+"/metrics/series?aggregate=count&project=shop&group_by=service&group_by=pool&step=60s&name="+name+"&"+rangeOfData())
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			s.validate(t, answerSchema("/metrics/series", "application/json"), w.Body.Bytes())
			assert.Contains(t, w.Body.String(), `"group":{"pool":"a","service":"web"}`)
		}
	})
	t.Run("hourly and finer statistics agree", func(t *testing.T) {
		for _, path := range []string{"/stats/traces", "/stats/logs", "/stats/errors"} {
			sums := map[string]string{}
			for _, step := range []string{"1h", "30m"} {
				w := get(t, h, access.Local(), Prefix+path+"?step="+step+"&"+rangeOfData())
				s.validate(t, answerSchema(path, "application/json"), w.Body.Bytes())
				totals := map[string]float64{}
				for _, point := range decode(t, w.Body.Bytes())["data"].([]any)[0].(object)["points"].([]any) {
					for k, v := range point.(object) {
						if n, ok := v.(float64); ok && k != "rate" {
							totals[k] += n
						}
					}
				}
				sums[step] = fmt.Sprint(totals)
			}
			assert.Equal(t, sums["1h"], sums["30m"], path)
			assert.NotEqual(t, "map[]", sums["1h"])
		}
	})
	t.Run("the document", func(t *testing.T) {
		w := get(t, h, access.Local(), Prefix+"/openapi.json")
		require.Equal(t, http.StatusOK, w.Code)
		var doc object
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &doc))
		assert.Equal(t, "3.1.0", doc["openapi"])
	})
	t.Run("problems", func(t *testing.T) {
		for target, want := range map[string]int{
			"/spans?colour=red": 400, "/spans?limit=0": 400, "/spans?limit=1001": 400, "/spans?cursor=x": 400, "/logs?level=loud": 400, "/spans?%zz": 400,
			"/traces/xyz": 400, "/traces/" + strings.Repeat("f", 32): 404, "/logs/none": 404, "/none": 404, "/": 404, "/metrics/series": 400,
			"/stats/traces?step=1s&start=-7d": 400, "/logs?regex=(": 400, "/spans?start=yesterday": 400, "/stats/logs?group_by=colour": 400,
		} {
			w := get(t, h, access.Local(), Prefix+target)
			assert.Equal(t, want, w.Code, target)
			assert.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
			s.validate(t, "/components/schemas/Problem", w.Body.Bytes())
		}
		assert.Contains(t, get(t, h, access.Local(), Prefix+"/spans?colour=red").Body.String(), `"parameter":"colour"`)
		assert.Equal(t, 403, get(t, h, viewer("shop"), Prefix+"/spans?project=billing").Code)
	})
}
