// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailrace/tailrace/internal/ingest"
)

// BenchmarkLoad is files to the next consumer: reading, decoding, batching, manifests with their syncs, moving.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for i := range 8000 {
		text.WriteString(line(fmt.Sprintf("%06d-%s", i, strings.Repeat("v", 800))))
	}
	b.SetBytes(int64(4 * text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		dir, s := b.TempDir(), newStore()
		for f := range 4 {
			age(b, put(b, dir, fmt.Sprintf("logs/p%d/1.jsonl", f), text.String()))
		}
		o := options(dir, s)
		o.Limits.MaxRecords, o.Limits.MaxBytes = 20_000, 16<<20
		var n atomic.Int64
		all := make(chan struct{})
		o.Sources[0].Deliver = func(_ context.Context, _ string, u ingest.Unit) error {
			if n.Add(int64(u.Records())) == 4*8000 {
				close(all)
			}
			return nil
		}
		b.StartTimer()
		e, err := ingest.Start(o)
		if err != nil {
			b.Fatal(err)
		}
		<-all
		b.StopTimer()
		stop(b, e)
		b.StartTimer()
	}
}

// BenchmarkFreshness is the time from a write to the next consumer when nothing else happens.
func BenchmarkFreshness(b *testing.B) {
	dir, s := b.TempDir(), newStore()
	o := options(dir, s)
	got := make(chan struct{}, 1)
	o.Sources[0].Deliver = func(context.Context, string, ingest.Unit) error { got <- struct{}{}; return nil }
	e, err := ingest.Start(o)
	if err != nil {
		b.Fatal(err)
	}
	defer stop(b, e)
	for b.Loop() {
		b.StopTimer()
		time.Sleep(2 * o.Limits.MaxDelay)
		b.StartTimer()
		put(b, dir, "logs/p/1.jsonl.open", line("x"))
		<-got
	}
}
