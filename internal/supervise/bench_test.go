// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkPipe is the whole way of 32 MiB from a process to the sink.
func BenchmarkPipe(b *testing.B) {
	path := filepath.Join(b.TempDir(), "lines")
	text := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 32<<20/100))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.Fatal(err)
	}
	server := testServer("web-1", "")
	server.Command = []string{"/bin/cat", path}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s := New(testOptions(server))
		detach, err := s.Attach(&discard{})
		if err != nil {
			b.Fatal(err)
		}
		s.Start()
		s.servers.Wait()
		if err := s.Stop(context.Background()); err != nil {
			b.Fatal(err)
		}
		if got := s.Stats().Stdout.Bytes; got != int64(len(text)) {
			b.Fatal(got)
		}
		detach()
	}
}

type signalSink chan struct{}

func (s signalSink) Deliver(context.Context, Batch) error { s <- struct{}{}; return nil }

// BenchmarkLineToSink is the time from the write of a line into the pipe to its arrival at an idle sink.
func BenchmarkLineToSink(b *testing.B) {
	out := newOutlet(256 << 10)
	sink := signalSink(make(chan struct{}))
	detach, err := out.attach(sink)
	if err != nil {
		b.Fatal(err)
	}
	pipe, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	r := newReader(pipe, Stdout, 1, testMaxLine, out, out.newQueue(&Source{}), &streamCounters{})
	go r.run()
	for b.Loop() {
		if _, err := w.WriteString("a line\n"); err != nil {
			b.Fatal(err)
		}
		<-sink
	}
	_ = w.Close()
	<-r.done
	detach()
}
