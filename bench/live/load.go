// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// loader counts what its connections get.
type loader struct {
	delivered, frames, bytes atomic.Int64

	mu        sync.Mutex
	latencies []int64 // nanoseconds; of one line for each frame
}

// runLoad connects, says so, and counts until it is told how much to expect.
func runLoad(text string) error {
	var o orders
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	l := &loader{}
	for i := range o.Subscribers + o.Idle + o.Stalled {
		channel := "server:web-1"
		if i >= o.Subscribers && i < o.Subscribers+o.Idle {
			channel = "server:silent"
		}
		ws, err := connect(&o, channel)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if i >= o.Subscribers+o.Idle {
			_ = ws.NetConn().(*net.TCPConn).SetReadBuffer(4096)
			continue // connected, and never read again
		}
		go l.read(ws, o.Deflate || channel == "server:silent")
	}
	fmt.Println("ready")
	var turns []turn
	var failed error
	turned := make(chan struct{})
	go func() {
		defer close(turned)
		if o.Turns > 0 {
			turns, failed = l.turns(&o)
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var want int64
		if _, err := fmt.Sscanf(in.Text(), "wait %d", &want); err != nil {
			return err
		}
		for deadline := time.Now().Add(5 * time.Second); l.delivered.Load() < want && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		<-turned
		if failed != nil {
			return failed
		}
		result := l.result()
		result.Turns = turns
		raw, err := json.Marshal(result)
		if err != nil {
			return err
		}
		fmt.Println(string(raw))
	}
	return in.Err()
}

func (l *loader) result() loadResult {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := loadResult{Delivered: l.delivered.Load(), Frames: l.frames.Load(), Bytes: l.bytes.Load()}
	r.P50, r.P99 = percentiles(l.latencies)
	return r
}

// connect subscribes and reads the answer.
func connect(o *orders, channel string) (*websocket.Conn, error) {
	d := websocket.Dialer{HandshakeTimeout: time.Minute, EnableCompression: o.Deflate, ReadBufferSize: 4096, WriteBufferSize: 512}
	hello, subscribe, answer := "", `{"type":"subscribe","payload":{"channel":"`+channel+`"}}`, `"subscribed"`
	if o.Way == "tailrace" {
		d.Subprotocols = []string{"tailrace.v1"}
	} else {
		hello, subscribe, answer = `{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"`+channel+`"}}`, `"subscribe"`
	}
	ws, resp, err := d.Dial("ws://"+o.Address+"/ws", nil)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	for _, msg := range []string{hello, subscribe} {
		if msg == "" {
			continue
		}
		if err := ws.WriteMessage(websocket.TextMessage, []byte(msg)); err != nil {
			return nil, err
		}
	}
	for {
		_, data, err := ws.ReadMessage()
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(data), answer) {
			return ws, nil
		}
	}
}

var marker = []byte("@t=")

// read counts lines by a mark in each. It reads frames itself where it can: most of the time would go to copying otherwise.
func (l *loader) read(ws *websocket.Conn, parsed bool) {
	if parsed {
		for {
			_, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			l.frame(ws, data)
		}
	}
	r := bufio.NewReaderSize(ws.NetConn(), 32<<10)
	var buf []byte
	for {
		head, err := r.Peek(2)
		if err != nil {
			return
		}
		n, size := int(head[1]&0x7f), 2
		switch n {
		case 126:
			if head, err = r.Peek(4); err != nil {
				return
			}
			n, size = int(head[2])<<8|int(head[3]), 4
		case 127:
			if head, err = r.Peek(10); err != nil {
				return
			}
			n, size = int(head[6])<<24|int(head[7])<<16|int(head[8])<<8|int(head[9]), 10
		}
		op := head[0]
		_, _ = r.Discard(size)
		if cap(buf) < n {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return
		}
		if op == 0x89 { // a masked pong without content
			_, _ = ws.NetConn().Write([]byte{0x8a, 0x80, 0, 0, 0, 0})
			continue
		}
		l.frame(ws, buf[:n])
	}
}

func (l *loader) frame(ws *websocket.Conn, data []byte) {
	l.bytes.Add(int64(len(data)))
	if string(data) == "{}" { // centrifuge's ping
		_ = ws.WriteMessage(websocket.TextMessage, data)
		return
	}
	n := bytes.Count(data, marker) / 2 // in the body and in the uid
	if n == 0 {
		return
	}
	l.frames.Add(1)
	l.delivered.Add(int64(n))
	i := bytes.Index(data, marker)
	digits, _, ok := bytes.Cut(data[i+len(marker):], []byte(";"))
	if !ok {
		return
	}
	at, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return
	}
	l.mu.Lock()
	l.latencies = append(l.latencies, time.Now().UnixNano()-at) // of its oldest line
	l.mu.Unlock()
}
