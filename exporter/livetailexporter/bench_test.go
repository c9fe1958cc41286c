// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/tailrace/tailrace/exporter/livetailexporter/internal/metadata"
)

// BenchmarkLatency is the time from ConsumeLogs to the frame in a client, over a real connection, a line every 5 ms.
func BenchmarkLatency(b *testing.B) {
	cfg := createDefaultConfig().(*Config)
	ownServer(cfg).NetAddr.Endpoint = "127.0.0.1:0"
	f := &factory{shared: newShared()}
	set := exportertest.NewNopSettings(metadata.Type)
	logs, err := f.createLogs(context.Background(), set, cfg)
	if err != nil {
		b.Fatal(err)
	}
	h, err := f.handle(set, cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := logs.Start(context.Background(), componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	defer func() { _, _ = logs.Shutdown(context.Background()), h.Shutdown(context.Background()) }()
	tl := &tail{liveTail: h.Unwrap(), logs: logs}
	ws, resp, err := websocket.DefaultDialer.Dial("ws://"+tl.addr.String()+"/ws", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	defer ws.Close()
	read := func() {
		if _, _, err := ws.ReadMessage(); err != nil {
			b.Fatal(err)
		}
	}
	read()
	if err := ws.WriteMessage(websocket.TextMessage, []byte(`{"type":"subscribe","payload":{"channel":"server:web-1"}}`)); err != nil {
		b.Fatal(err)
	}
	read()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		time.Sleep(5 * time.Millisecond)
		began := time.Now()
		tl.print(b, "web-1", i, 1, 100)
		read()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}
