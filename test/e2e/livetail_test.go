// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// message is a frame of the classic live-tail protocol.
type message struct {
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
	at      time.Time
}

// field returns a string field of the payload, or "".
func (m message) field(name string) string {
	var fields map[string]any
	_ = json.Unmarshal(m.Payload, &fields)
	s, _ := fields[name].(string)
	return s
}

// viewer is a WebSocket client that keeps all that it receives.
type viewer struct {
	t    testing.TB
	conn *websocket.Conn

	mu       sync.Mutex
	messages []message
	closed   error
	done     chan struct{}
}

func (p *product) watch(channels ...string) *viewer {
	p.t.Helper()
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+p.tail+"/ws", nil)
	require.NoError(p.t, err)
	v := &viewer{t: p.t, conn: conn, done: make(chan struct{})}
	go v.read()
	p.t.Cleanup(func() {
		_ = conn.Close()
		<-v.done
	})
	for _, channel := range channels {
		v.send(`{"type":"subscribe","payload":{"channel":"` + channel + `"}}`)
		v.await("subscribed to "+channel, func(m message) bool { return m.Type == "subscribed" && m.field("channel") == channel })
	}
	return v
}

func (v *viewer) read() {
	defer close(v.done)
	for {
		_, raw, err := v.conn.ReadMessage()
		v.mu.Lock()
		if err != nil {
			v.closed = err
			v.mu.Unlock()
			return
		}
		m := message{at: time.Now()}
		if err := json.Unmarshal(raw, &m); err != nil {
			v.closed = err
		}
		v.messages = append(v.messages, m)
		v.mu.Unlock()
	}
}

func (v *viewer) send(text string) {
	v.t.Helper()
	require.NoError(v.t, v.conn.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (v *viewer) all() []message {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]message(nil), v.messages...)
}

// await waits until a received message satisfies match and returns the first one.
func (v *viewer) await(what string, match func(message) bool) message {
	v.t.Helper()
	var found message
	require.Eventually(v.t, func() bool {
		for _, m := range v.all() {
			if match(m) {
				found = m
				return true
			}
		}
		return false
	}, 20*time.Second, 5*time.Millisecond, "no message: %s", what)
	return found
}

func ofType(name string) func(message) bool {
	return func(m message) bool { return m.Type == name }
}
