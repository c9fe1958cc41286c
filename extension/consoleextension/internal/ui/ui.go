// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package ui serves the files of the web UI, which are built from web/ into dist/ and committed.
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist placeholder
var embedded embed.FS

const (
	index = "index.html"
	// csp lets the page load what is its own, and nothing else: no script or style in the page itself, nothing of other
	// origins, no frames around it.
	csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
		"manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	// minGzip: below it compressing gains nothing.
	minGzip = 1024
)

// hashed are names that change with their content, as Vite writes them: assets/index-BpZ3kq9x.js.
var hashed = regexp.MustCompile(`^assets/.*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$`)

// file is one file in all of its encodings.
type file struct {
	contentType string
	etag        string
	immutable   bool
	encodings   map[string][]byte // "", and those that were built: "gzip", "br"
	zip         func() []byte     // compresses when first asked for; nil: not worth it
}

// handler serves files from memory. It is safe for concurrent use.
type handler struct {
	files map[string]*file
}

// New serves the UI, or, in a build without one, a page that says where the API is.
func New() http.Handler {
	dist, err := fs.Sub(embedded, "dist")
	if err == nil {
		if _, err := fs.Stat(dist, index); err == nil {
			return newHandler(dist)
		}
	}
	placeholder, _ := fs.Sub(embedded, "placeholder") // fails for an invalid name only
	return newHandler(placeholder)
}

func newHandler(from fs.FS) http.Handler {
	h := &handler{files: map[string]*file{}}
	compressed := map[string]map[string][]byte{}
	_ = fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return nil
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return nil // embedded files can be read
		}
		for suffix, encoding := range map[string]string{".gz": "gzip", ".br": "br"} {
			if plain, ok := strings.CutSuffix(name, suffix); ok {
				if compressed[plain] == nil {
					compressed[plain] = map[string][]byte{}
				}
				compressed[plain][encoding] = content
				return nil
			}
		}
		h.files[name] = newFile(name, content)
		return nil
	})
	for name, f := range h.files {
		for encoding, content := range compressed[name] {
			f.encodings[encoding] = content
		}
		if f.encodings["gzip"] == nil && compressible(f.contentType) {
			f.zip = sync.OnceValue(f.compress)
		}
	}
	return h
}

func newFile(name string, content []byte) *file {
	contentType := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // not left to the files of the machine
	case ".html":
		contentType = "text/html; charset=utf-8"
	case ".js", ".mjs":
		contentType = "text/javascript; charset=utf-8"
	case ".css":
		contentType = "text/css; charset=utf-8"
	case ".svg":
		contentType = "image/svg+xml"
	case ".json", ".map":
		contentType = "application/json"
	case ".webmanifest":
		contentType = "application/manifest+json"
	case ".woff2":
		contentType = "font/woff2"
	}
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	sum := sha256.Sum256(content)
	return &file{
		contentType: contentType, etag: hex.EncodeToString(sum[:12]), immutable: hashed.MatchString(name),
		encodings: map[string][]byte{"": content},
	}
}

func compressible(contentType string) bool {
	for _, prefix := range []string{"text/", "application/json", "application/manifest+json", "image/svg+xml"} {
		if strings.HasPrefix(contentType, prefix) {
			return true
		}
	}
	return false
}

// compress returns nil when that gains nothing.
func (f *file) compress() []byte {
	plain := f.encodings[""]
	if len(plain) < minGzip {
		return nil
	}
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for a wrong level only
	_, _ = w.Write(plain)                                 // into memory
	_ = w.Close()
	if b.Len() >= len(plain) {
		return nil
	}
	return b.Bytes()
}

// content is the file in an encoding, nil when there is none such.
func (f *file) content(encoding string) []byte {
	if encoding == "gzip" && f.zip != nil {
		return f.zip()
	}
	return f.encodings[encoding]
}

// ServeHTTP implements http.Handler. Paths of the application itself, which are no files, get its page.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "files are read with GET", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	f := h.files[name]
	if f == nil {
		if strings.HasPrefix(name, "assets/") || path.Ext(name) != "" && !strings.Contains(r.Header.Get("Accept"), "text/html") {
			http.Error(w, "there is no such file", http.StatusNotFound)
			return
		}
		f = h.files[index]
	}
	f.serve(w, r)
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", csp)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Type", f.contentType)
	header.Set("Vary", "Accept-Encoding")
	cache := "no-cache" // asked for each time, answered by its tag
	if f.immutable {
		cache = "public, max-age=31536000, immutable"
	}
	header.Set("Cache-Control", cache)
	encoding := f.choose(r.Header.Get("Accept-Encoding"))
	etag := `"` + f.etag
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
		etag += "-" + encoding // each encoding is a representation of its own
	}
	etag += `"`
	header.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	content := f.content(encoding)
	header.Set("Content-Length", strconv.Itoa(len(content)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(content) // the client may be gone
	}
}

// choose returns the smallest encoding that the client takes.
func (f *file) choose(accept string) string {
	best := ""
	for part := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if q := strings.ReplaceAll(params, " ", ""); q == "q=0" || strings.HasPrefix(q, "q=0.0") && strings.Trim(q, "q=0.") == "" {
			continue
		}
		name = strings.ToLower(strings.TrimSpace(name))
		if content := f.content(name); content != nil && len(content) < len(f.content(best)) {
			best = name
		}
	}
	return best
}
