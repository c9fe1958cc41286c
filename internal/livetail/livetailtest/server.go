// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package livetailtest runs a live tail for tests of its clients.
package livetailtest

import (
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
)

// Server is a live tail on a port of its own, which it keeps over a restart.
type Server struct {
	Addr string

	tb   testing.TB
	opts livetail.Options
	door tailws.Door

	mu     sync.Mutex // guards what follows
	hub    *livetail.Hub
	ws     *tailws.Server
	http   *http.Server
	conns  map[net.Conn]struct{}
	served chan struct{}
}

// Start runs a server until the test ends. change may change the hub's options.
func Start(tb testing.TB, door tailws.Door, change func(*livetail.Options)) *Server {
	tb.Helper()
	opts := livetail.DefaultOptions()
	opts.Format, opts.AppendRecord = classic.Format{}, tailv1.AppendRecord
	if change != nil {
		change(&opts)
	}
	s := &Server{tb: tb, opts: opts, door: door, Addr: "127.0.0.1:0"}
	s.start()
	tb.Cleanup(s.Stop)
	return s
}

// URL of the server.
func (s *Server) URL() string { return "http://" + s.Addr }

// Hub of the current run.
func (s *Server) Hub() *livetail.Hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub
}

func (s *Server) start() {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	listener, err := net.Listen("tcp", s.Addr)
	require.NoError(s.tb, err)
	s.Addr = listener.Addr().String()
	s.hub = livetail.New(s.opts)
	s.hub.Start()
	s.ws = tailws.NewServer(tailws.Options{
		Hub: s.hub, MaxClients: 1000, MaxPerIdentity: 100, MaxMessageBytes: 64 << 10, PingInterval: 25 * time.Second,
		WriteTimeout: time.Minute, AuthTimeout: 10 * time.Second, Compression: true,
		Hello: tailv1.Hello{Epoch: s.hub.Epoch(), PingIntervalMS: 25_000},
	})
	mux := http.NewServeMux()
	mux.Handle("/ws", s.ws.WebSocket(s.door))
	mux.Handle("/api/v1/tail", s.ws.Tail(s.door))
	s.conns = map[net.Conn]struct{}{}
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	server, served := s.http, s.served
	go func() {
		defer close(served)
		_ = server.Serve(&tracked{Listener: listener, s: s})
	}()
}

// Stop ends the server, with a close code for its clients.
func (s *Server) Stop() {
	s.mu.Lock()
	hub, ws, server, served := s.hub, s.ws, s.http, s.served
	s.hub, s.ws, s.http = nil, nil, nil
	s.mu.Unlock()
	if hub == nil {
		return
	}
	hub.Close()
	ws.Close()
	_ = server.Close()
	<-served
}

// Restart ends the server and starts another one, which knows nothing of the first, on its port.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	s.start()
}

// Cut breaks all connections without a word.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
	clear(s.conns)
}

type tracked struct {
	net.Listener
	s *Server
}

func (l *tracked) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	l.s.conns[c] = struct{}{}
	return c, nil
}

// Epoch is the time of line 0; line i is i milliseconds later.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Print publishes n lines of a server, numbered from first, each with a uid.
func (s *Server) Print(project, server string, first, n int) {
	s.PrintAt(project, server, plog.SeverityNumberInfo, first, n)
}

// PrintAt publishes lines of a severity.
func (s *Server) PrintAt(project, server string, severity plog.SeverityNumber, first, n int) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", project)
	rl.Resource().Attributes().PutStr("server.id", server)
	sl := rl.ScopeLogs().AppendEmpty()
	for i := first; i < first+n; i++ {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(pcommon.NewTimestampFromTime(Epoch.Add(time.Duration(i) * time.Millisecond)))
		lr.SetSeverityNumber(severity)
		lr.Body().SetStr(fmt.Sprint("line ", i))
		lr.Attributes().PutStr("log.iostream", "stdout")
		lr.Attributes().PutStr("log.record.uid", fmt.Sprint(project, "/", server, "/", i))
	}
	h := s.Hub()
	b := h.NewBatch()
	b.AddLogs(ld)
	h.Publish(b)
}

// Span publishes an ended span of a millisecond; parent 0 is a root.
func (s *Server) Span(project, name string, id, parent byte, start time.Duration) {
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("project.id", project)
	sp := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	sp.SetTraceID(pcommon.TraceID{15: 7})
	sp.SetSpanID(pcommon.SpanID{7: id})
	if parent > 0 {
		sp.SetParentSpanID(pcommon.SpanID{7: parent})
	}
	sp.SetName(name)
	sp.SetStartTimestamp(pcommon.NewTimestampFromTime(Epoch.Add(start)))
	sp.SetEndTimestamp(sp.StartTimestamp() + 1_500_000)
	h := s.Hub()
	b := h.NewBatch()
	b.AddSpans(td)
	h.Publish(b)
}
