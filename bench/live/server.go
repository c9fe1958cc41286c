// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/centrifugal/centrifuge"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/tailrace/tailrace/internal/livetail"
	"github.com/tailrace/tailrace/internal/livetail/classic"
	"github.com/tailrace/tailrace/internal/livetail/tailv1"
	"github.com/tailrace/tailrace/internal/livetail/tailws"
	"github.com/tailrace/tailrace/internal/webguard"
)

// publisher hands out lines that happened at the same time.
type publisher interface {
	handler() http.Handler
	publish(lines []string) error
	close()
}

// runServer serves on a free port, whose address it prints, and publishes as it is told.
func runServer(way string) error {
	var p publisher
	var err error
	switch way {
	case "tailrace":
		p = newTailrace()
	case "centrifuge":
		p, err = newCentrifuge()
	default:
		err = fmt.Errorf("unknown way %q", way)
	}
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p.handler(), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	fmt.Println(listener.Addr())
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if in.Text() == "collect" { // what connecting has left behind is not what connections cost
			debug.FreeOSMemory()
			fmt.Println("collected")
			continue
		}
		if in.Text() == "goroutines" {
			fmt.Println(runtime.NumGoroutine())
			continue
		}
		if in.Text() == "live" { // what is reachable, which alone can leak; the rest of the resident memory is the collector's to give back
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			fmt.Println(m.HeapAlloc + m.StackInuse)
			continue
		}
		var rate int
		var length string
		if _, err := fmt.Sscanf(in.Text(), "publish %d %s", &rate, &length); err != nil {
			return err
		}
		d, err := time.ParseDuration(length)
		if err != nil {
			return err
		}
		n, err := publishAt(p, rate, d)
		if err != nil {
			return err
		}
		fmt.Println(n)
	}
	p.close()
	return errors.Join(server.Close(), in.Err())
}

// publishAt publishes lines of 200 bytes at a steady rate, those of ten milliseconds at a time (one at a time when they are
// few). Each says when it was published.
func publishAt(p publisher, rate int, length time.Duration) (n int, err error) {
	if rate == 0 {
		time.Sleep(length)
		return 0, nil
	}
	filler := strings.Repeat("x", 200)
	began := time.Now()
	step := max(10*time.Millisecond, time.Second/time.Duration(rate))
	var lines []string
	for at := step; at <= length; at += step {
		time.Sleep(time.Until(began.Add(at)))
		lines = lines[:0]
		now := time.Now().UnixNano()
		for want := int(at.Seconds() * float64(rate)); n < want; n++ {
			head := fmt.Sprintf("@t=%d;%d ", now, n)
			lines = append(lines, head+filler[:200-len(head)])
		}
		if err := p.publish(lines); err != nil {
			return n, err
		}
	}
	return n, nil
}

type tailrace struct {
	hub *livetail.Hub
	ws  *tailws.Server
}

func newTailrace() *tailrace {
	opts := livetail.DefaultOptions()
	opts.Format, opts.AppendRecord = classic.Format{}, tailv1.AppendRecord
	// What is remembered to recognise repetitions grows up to its bound, 8 MiB by default after 20 minutes of 200 lines a second: a soak
	// that looks for a leak needs it full when it begins to look.
	opts.RecentRecords = 8000
	hub := livetail.New(opts)
	hub.Start()
	return &tailrace{hub, tailws.NewServer(tailws.Options{
		Hub: hub, MaxClients: 100_000, MaxPerIdentity: 100_000, MaxMessageBytes: 64 << 10, PingInterval: 25 * time.Second,
		WriteTimeout: time.Minute, AuthTimeout: 10 * time.Second, Compression: true,
		Hello: tailv1.Hello{Epoch: hub.Epoch(), PingIntervalMS: 25_000},
	})}
}

func (t *tailrace) handler() http.Handler {
	return t.ws.WebSocket(tailws.Door{Guard: &webguard.Guard{}})
}

func (t *tailrace) publish(lines []string) error {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("project.id", "shop")
	rl.Resource().Attributes().PutStr("server.id", "web-1")
	sl := rl.ScopeLogs().AppendEmpty()
	now := pcommon.NewTimestampFromTime(time.Now())
	for _, line := range lines {
		lr := sl.LogRecords().AppendEmpty()
		lr.SetTimestamp(now)
		lr.SetSeverityNumber(plog.SeverityNumberInfo)
		lr.Body().SetStr(line)
		lr.Attributes().PutStr("log.iostream", "stdout")
		lr.Attributes().PutStr("log.record.uid", line[:40])
	}
	b := t.hub.NewBatch()
	b.AddLogs(ld)
	t.hub.Publish(b)
	return nil
}

func (t *tailrace) close() {
	t.hub.Close()
	t.ws.Close()
}

// centrifugeWay is the library with its in-memory engine, a publication for each line, as its users have it. Writes are
// collected for 50 ms, as ours are under load.
type centrifugeWay struct{ node *centrifuge.Node }

func newCentrifuge() (*centrifugeWay, error) {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 64 << 20, ClientChannelLimit: 100})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials: &centrifuge.Credentials{UserID: "bench"}, WriteDelay: 50 * time.Millisecond, MaxMessagesInFrame: -1,
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{}, nil)
		})
	})
	return &centrifugeWay{node}, node.Run()
}

func (c *centrifugeWay) handler() http.Handler {
	return centrifuge.NewWebsocketHandler(c.node, centrifuge.WebsocketConfig{
		CheckOrigin: func(*http.Request) bool { return true }, ReadBufferSize: 1024, UseWriteBufferPool: true,
	})
}

func (c *centrifugeWay) publish(lines []string) error {
	for _, line := range lines {
		// The same members as ours have.
		data := fmt.Appendf(nil, `{"seq":1,"signal":"log","project":"shop","server":"web-1","service":"","time":"2026-03-01T12:00:00.000000000Z",`+
			`"severity":"info","severityNumber":9,"body":%q,"attributes":{"log.iostream":"stdout"},"uid":%q}`, line, line[:40])
		if _, err := c.node.Publish("server:web-1", data); err != nil {
			return err
		}
	}
	return nil
}

func (c *centrifugeWay) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = c.node.Shutdown(ctx)
}
