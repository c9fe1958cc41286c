// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package consoleextension

import (
	"net/http"
	"time"
)

// timed gives a client write_timeout for each piece of an answer instead of for all of it: an export may take hours, but a client that
// takes nothing is gone. Mounted handlers are not timed: they see to it themselves.
func (c *console) timed(next http.Handler) http.Handler {
	limit := c.cfg.HTTP.WriteTimeout
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timed := &timedWriter{ResponseWriter: w, control: http.NewResponseController(w), limit: limit, lazy: r.ProtoMajor == 1}
		next.ServeHTTP(timed, r)
		timed.set(time.Now()) // for what is still in buffers
	})
}

// untimed takes back the deadline that an earlier request on the same connection had.
func untimed(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a writer without deadlines has none to take back
}

// timedWriter has a deadline for each write. Over HTTP/1 it only counts during a write, and so it is moved just now and then, since that costs a
// call of the system's timers. HTTP/2 ends a stream whenever it passes, also while the handler waits for the database: so there it is
// taken away in between.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	limit   time.Duration
	lazy    bool
	moved   time.Time
}

func (w *timedWriter) Write(p []byte) (int, error) {
	w.begin()
	n, err := w.ResponseWriter.Write(p)
	w.end()
	return n, err
}

// FlushError is what http.ResponseController calls.
func (w *timedWriter) FlushError() error {
	w.begin()
	err := w.control.Flush()
	w.end()
	return err
}

// Flush implements http.Flusher.
func (w *timedWriter) Flush() { _ = w.FlushError() }

// Unwrap is for http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *timedWriter) begin() {
	if now := time.Now(); !w.lazy || now.Sub(w.moved) > w.limit/10 {
		w.set(now)
	}
}

func (w *timedWriter) end() {
	if !w.lazy {
		untimed(w.ResponseWriter)
	}
}

func (w *timedWriter) set(now time.Time) {
	w.moved = now
	_ = w.control.SetWriteDeadline(now.Add(w.limit)) // not every writer has deadlines; then there is no limit
}
