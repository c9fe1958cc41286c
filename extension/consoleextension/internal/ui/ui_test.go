// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ui

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var script = strings.Repeat("console.log(1);\n", 500)

func site() http.Handler {
	return newHandler(fstest.MapFS{
		"index.html":                  {Data: []byte("<!doctype html><title>app</title>")},
		"assets/index-BpZ3kq9x.js":    {Data: []byte(script)},
		"assets/index-BpZ3kq9x.js.br": {Data: []byte("brotli")},
		"assets/style-C0ffee12.css":   {Data: []byte(strings.Repeat("a{}\n", 1000))},
		"favicon.svg":                 {Data: []byte("<svg/>")},
		".gitkeep":                    {},
	})
}

func get(h http.Handler, path string, headers ...string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	raw, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(raw)
}

func TestPathsOfTheApplicationGetItsPage(t *testing.T) {
	h := site()
	for _, path := range []string{"/", "/index.html", "/traces", "/traces/0af7651916cd43dd8448eb211c80319c", "/a/../b", "//x", "/..%2f..%2fetc/passwd"} {
		r := get(h, path)
		assert.Equal(t, http.StatusOK, r.StatusCode, path)
		assert.Contains(t, body(t, r), "<title>app</title>", path)
		assert.Equal(t, "no-cache", r.Header.Get("Cache-Control"))
		assert.Contains(t, r.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		assert.NotContains(t, r.Header.Get("Content-Security-Policy"), "unsafe")
		assert.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"))
	}
	assert.Equal(t, http.StatusOK, get(h, "/servers/web-1.example.com", "Accept", "text/html,*/*").StatusCode, "an id with a dot")
	for _, path := range []string{"/assets/old-12345678.js", "/favicon.ico", "/.gitkeep", "/assets/index-BpZ3kq9x.js.br"} {
		assert.Equal(t, http.StatusNotFound, get(h, path).StatusCode, path)
	}
}

func TestEncodingsAndCaching(t *testing.T) {
	h := site()
	const js = "/assets/index-BpZ3kq9x.js"
	for accept, want := range map[string]string{
		"": "", "gzip": "gzip", "gzip, br": "br", "br;q=0, gzip": "gzip", "gzip;q=0": "", "gzip; q=0.0": "", "GZIP;q=0.5": "gzip", "zstd": "",
	} {
		r := get(h, js, "Accept-Encoding", accept)
		assert.Equal(t, want, r.Header.Get("Content-Encoding"), accept)
		assert.Equal(t, "public, max-age=31536000, immutable", r.Header.Get("Cache-Control"))
		assert.Equal(t, "text/javascript; charset=utf-8", r.Header.Get("Content-Type"))
		assert.Equal(t, "Accept-Encoding", r.Header.Get("Vary"))
		etag := r.Header.Get("ETag")
		text := body(t, r)
		switch want {
		case "br":
			assert.Equal(t, "brotli", text)
		case "gzip":
			unzip, err := gzip.NewReader(strings.NewReader(text))
			require.NoError(t, err)
			raw, err := io.ReadAll(unzip)
			require.NoError(t, err)
			assert.Equal(t, script, string(raw))
		default:
			assert.Equal(t, script, text)
		}
		assert.Equal(t, http.StatusNotModified, get(h, js, "Accept-Encoding", accept, "If-None-Match", etag).StatusCode)
		assert.Equal(t, http.StatusOK, get(h, js, "Accept-Encoding", accept, "If-None-Match", `"other"`).StatusCode)
	}
	assert.Empty(t, get(h, "/favicon.svg", "Accept-Encoding", "gzip").Header.Get("Content-Encoding"), "small files are not worth it")
	assert.Equal(t, "image/svg+xml", get(h, "/favicon.svg").Header.Get("Content-Type"))
	assert.Equal(t, "no-cache", get(h, "/favicon.svg").Header.Get("Cache-Control"))
}

func TestOtherMethods(t *testing.T) {
	w := httptest.NewRecorder()
	site().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
	w = httptest.NewRecorder()
	site().ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", nil))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Empty(t, w.Body.String())
	assert.NotEqual(t, "0", w.Header().Get("Content-Length"))
}

// Whatever is built in has a page without scripts and styles of its own.
func TestTheBuiltInPage(t *testing.T) {
	r := get(New(), "/")
	require.Equal(t, http.StatusOK, r.StatusCode)
	page := body(t, r)
	assert.Contains(t, page, "<title>")
	assert.NotContains(t, page, "<style")
	assert.NotRegexp(t, `<script(?:[^>]*)>[^<]`, page)
	assert.NotRegexp(t, ` style=| on[a-z]+=`, page)
}
