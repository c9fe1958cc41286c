// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/access"
	"github.com/tailrace/tailrace/internal/audit"
)

// exports records downloads, and what the API itself refuses because of the project.
func (c *console) exports(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watchedWriter{ResponseWriter: w, control: http.NewResponseController(w), status: http.StatusOK}
		began := time.Now()
		finished := false
		defer func() {
			caller := access.FromContext(r.Context())
			switch {
			case watched.status == http.StatusForbidden:
				c.refused(r, caller, watched.status, reasonProject)
			case watched.isExport():
				e := event(r, caller)
				e.Name, e.Outcome, e.Status, e.Bytes, e.Duration = audit.Export, audit.Success, watched.status, watched.bytes, time.Since(began)
				// A stream is cut off by a panic (http.ErrAbortHandler), by its writer, or because the client is gone.
				if !finished || watched.failed || r.Context().Err() != nil {
					e.Outcome = audit.Failed
				}
				c.record(e)
			}
		}()
		next.ServeHTTP(watched, r)
		finished = true
	})
}

// watchedWriter knows what was answered.
type watchedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	wrote   bool
	bytes   int64
	failed  bool
}

func (w *watchedWriter) WriteHeader(status int) {
	if !w.wrote && status >= 200 {
		w.status, w.wrote = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	w.wrote = true
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	w.failed = w.failed || err != nil
	return n, err
}

// FlushError is what http.ResponseController calls.
func (w *watchedWriter) FlushError() error {
	w.wrote = true
	return w.control.Flush()
}

// Flush implements http.Flusher.
func (w *watchedWriter) Flush() { _ = w.FlushError() }

// Unwrap is for http.ResponseController.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// isExport tells downloads from answers to questions: streams of records, and what is meant to be saved.
func (w *watchedWriter) isExport() bool {
	if w.status != http.StatusOK {
		return false
	}
	kind, _, _ := mime.ParseMediaType(w.Header().Get("Content-Type"))
	return kind == "application/x-ndjson" || strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment")
}
