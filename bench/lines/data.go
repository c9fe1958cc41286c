// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

var (
	methods = []string{"GET", "POST", "PUT", "DELETE"}
	paths   = []string{"/api/orders", "/api/carts", "/api/customers", "/api/products", "/health"}
	notes   = []string{
		"cache miss, 3 rows from orders", "cache hit", "token refreshed", "retried once after a timeout of the payment service",
		"written to the outbox, 2 subscribers",
	}
	messages = []string{"request completed", "request failed: the payment service answered 503", "cart was \"abandoned\"", "job finished"}
)

// plainLines writes lines of about 120 bytes.
func plainLines(to io.Writer, lines int, seed uint64, at time.Time) error {
	w := bufio.NewWriterSize(to, 1<<20)
	r := rand.New(rand.NewPCG(seed, 1))
	for i := range lines {
		fmt.Fprintf(w, "%s %s %s/%d 200 in %d ms for client %d of tenant-%02d, %s\n",
			at.Add(time.Duration(i)*time.Microsecond).UTC().Format("2006-01-02 15:04:05.000"), methods[r.IntN(len(methods))],
			paths[r.IntN(len(paths))], r.IntN(1e6), r.IntN(900), r.IntN(1e5), r.IntN(50), notes[r.IntN(len(notes))])
	}
	return w.Flush()
}

// jsonLines writes lines as pino does, of about 300 bytes.
func jsonLines(to io.Writer, lines int, seed uint64, at time.Time) error {
	w := bufio.NewWriterSize(to, 1<<20)
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range lines {
		level := []int{20, 30, 30, 30, 30, 40, 50}[r.IntN(7)]
		fmt.Fprintf(w, `{"level":%d,"time":%d,"pid":%d,"hostname":"web-%d","trace_id":"%016x%016x","span_id":"%016x",`+
			`"req":{"id":%d,"method":%q,"url":"%s/%d"},"res":{"statusCode":%d},"responseTime":%d.%d,"msg":%q}`+"\n",
			level, at.UnixMilli()+int64(i/1000), 1000+r.IntN(9), r.IntN(4), r.Uint64()|1, r.Uint64(), r.Uint64()|1,
			i, methods[r.IntN(len(methods))], paths[r.IntN(len(paths))], r.IntN(1e6), 200+r.IntN(300), r.IntN(900), r.IntN(1000),
			messages[r.IntN(len(messages))])
	}
	return w.Flush()
}
