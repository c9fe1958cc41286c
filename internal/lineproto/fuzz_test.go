// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package lineproto

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// FuzzServer sends anything behind a good hello. Whatever it is: numbers are delivered once and in order, all that came
// between is accounted for, the texts are bounded and valid, and exactly what was delivered last is acknowledged.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		line(1, "one") + line(2, "a\xff\x00") + string(appendEvent(nil, 3, 9, Event{Name: EventExited, Code: 3})),
		line(5, "gap") + line(2, "late") + "\n\n{}\n[1]\nnull\n" + line(6, "six"),
		`{"type":"line","seq":1,"time":"1","stream":"stderr","base64":"/w==","part":1,"last":true}` + "\n",
		`{"type":"line","seq":274877906943,"time":"1","stream":"stdout","text":"\ud800"}` + "\nhalf",
		string(bytes.Repeat([]byte("y"), 6000)) + "\n" + line(1, "after"),
		`{"type":"alive"}` + "\n" + `{"type":"hello"}` + "\n" + `{"seq":1,"type":"event","time":"-1","event":"lost"}` + "\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var mu sync.Mutex
		var items []Item
		var server *Server
		ready := make(chan struct{})
		server = NewServer(ServerOptions{
			MaxConnections: 1, MaxLineBytes: 64, WindowBytes: 1 << 12, HelloTimeout: wait, IdleTimeout: wait,
			LostAfter: time.Hour, Remember: time.Hour, Logger: zap.NewNop(),
			Deliver: func(_ context.Context, batch []Group) error {
				<-ready
				mu.Lock()
				defer mu.Unlock()
				for _, group := range batch {
					items = append(items, group.Items...)
					server.Ack(group.Run, group.Items[len(group.Items)-1].Seq)
				}
				return nil
			},
		})
		close(ready)
		defer server.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		server.Serve(l, false)
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(wait)))
		h := hello()
		h.Type = typeHello
		// Behind the input comes a message with the highest number of all: its acknowledgement ends the conversation.
		go func() {
			_, _ = c.Write(marshalLine(h))
			_, _ = c.Write(input)
			_, _ = c.Write([]byte("\n" + line(maxSeq, "the end")))
		}()
		var acked uint64
		for in := bufio.NewScanner(c); acked < maxSeq && in.Scan(); {
			var m struct {
				Type string
				Seq  uint64
			}
			require.NoError(t, json.Unmarshal(in.Bytes(), &m))
			if m.Type == typeAck {
				require.Greater(t, m.Seq, acked)
				acked = m.Seq
			}
		}
		require.Equal(t, uint64(maxSeq), acked)
		mu.Lock()
		defer mu.Unlock()
		last := uint64(0)
		for i := range items {
			item := &items[i]
			require.Greater(t, item.Seq, last)
			if item.Kind == KindGap {
				require.Equal(t, item.Seq-last, item.Missing, "numbers are not accounted for")
			} else {
				require.Equal(t, last+1, item.Seq, "numbers are not accounted for")
			}
			last = item.Seq
			require.LessOrEqual(t, len(item.Text), 64)
			require.True(t, utf8.ValidString(item.Text))
		}
		require.Equal(t, uint64(maxSeq), last)
	})
}

// FuzzLine: what the client writes, the server reads.
func FuzzLine(f *testing.F) {
	f.Add([]byte("plain"), uint64(1), int64(5), 0, false)
	f.Add([]byte("\x00\xff\"\\\t\u2028\x7f"), uint64(9), int64(0), 2, true)
	f.Fuzz(func(t *testing.T, text []byte, seq uint64, ns int64, part int, last bool) {
		seq, part = seq%maxSeq+1, max(part, 0)
		ns = max(ns, 0)
		b := appendLine(nil, seq, ns, Stderr, text, part, last)
		require.Equal(t, 1, bytes.Count(b, []byte("\n")))
		got, ok := readSeq(b)
		require.True(t, ok)
		require.Equal(t, seq, got)
		item, _, e := parse(b[:len(b)-1], len(text)*3+1)
		require.Nil(t, e)
		require.Equal(t, seq, item.Seq)
		require.Equal(t, ns, item.Time.UnixNano())
		require.Equal(t, Stderr, item.Stream)
		require.Equal(t, part, item.Part)
		require.Equal(t, last && part > 0, item.Last)
		require.Equal(t, !utf8.Valid(text), item.Repaired)
		if utf8.Valid(text) {
			require.Equal(t, string(text), item.Text)
		}
	})
}
