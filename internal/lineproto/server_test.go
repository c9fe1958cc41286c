// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package lineproto

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
)

const (
	wait = 40 * time.Second
	tick = 5 * time.Millisecond
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// taker takes what a server delivers, and acknowledges it.
type taker struct {
	server *Server
	block  chan struct{} // nil: never

	mu    sync.Mutex
	items []Item
}

func (k *taker) deliver(ctx context.Context, batch []Group) error {
	if k.block != nil {
		select {
		case <-k.block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, group := range batch {
		k.items = append(k.items, group.Items...)
		for i := len(group.Items) - 1; i >= 0; i-- {
			if seq := group.Items[i].Seq; seq > 0 {
				k.server.Ack(group.Run, seq)
				break
			}
		}
	}
	return nil
}

func (k *taker) all() []Item {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]Item(nil), k.items...)
}

func (k *taker) texts() string {
	var out []string
	for _, item := range k.all() {
		switch item.Kind {
		case KindLine:
			out = append(out, item.Text)
		case KindGap:
			out = append(out, fmt.Sprintf("(%d missing)", item.Missing))
		case KindLost:
			out = append(out, "(lost)")
		case KindBack:
			out = append(out, "(back)")
		case KindEvent:
			out = append(out, "("+item.Event.Name+")")
		}
	}
	return strings.Join(out, " ")
}

func socketPath(t testing.TB) string {
	dir, err := os.MkdirTemp("", "lp")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// serve starts a server at path.
func serve(t testing.TB, path string, change func(*ServerOptions)) (*taker, func()) {
	k := &taker{}
	ready := make(chan struct{})
	opt := ServerOptions{
		Token: "secret", MaxConnections: 4, MaxLineBytes: 64, WindowBytes: 1 << 16,
		HelloTimeout: wait, IdleTimeout: wait, LostAfter: time.Hour, Remember: time.Hour, Logger: zap.NewNop(),
		Deliver: func(ctx context.Context, batch []Group) error {
			<-ready
			return k.deliver(ctx, batch)
		},
	}
	if change != nil {
		change(&opt)
	}
	k.server = NewServer(opt)
	close(ready)
	l, err := ListenUnix(path, 0o600)
	require.NoError(t, err)
	k.server.Serve(l, false)
	stop := sync.OnceFunc(k.server.Close)
	t.Cleanup(stop)
	return k, stop
}

// dial connects and says hello; the answers can be read from the scanner.
func dial(t testing.TB, path string, h Hello) (net.Conn, *bufio.Scanner) {
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(wait)))
	h.Type = typeHello
	_, err = c.Write(marshalLine(h))
	require.NoError(t, err)
	return c, bufio.NewScanner(c)
}

func hello() Hello { return Hello{Version: Version, Run: ulid.Make().String(), Server: "web-1"} }

// answer reads the next message that is no sign of life.
func answer(t testing.TB, in *bufio.Scanner) map[string]any {
	for in.Scan() {
		var m map[string]any
		require.NoError(t, json.Unmarshal(in.Bytes(), &m))
		if m["type"] != typeAlive {
			return m
		}
	}
	require.NoError(t, in.Err())
	return nil
}

func line(seq uint64, text string) string {
	return string(appendLine(nil, seq, 1, Stdout, []byte(text), 0, false))
}

func TestBadMessagesAreToldAndTheRestGoesThrough(t *testing.T) {
	path := socketPath(t)
	k, _ := serve(t, path, nil)
	c, in := dial(t, path, hello())
	assert.Equal(t, typeWelcome, answer(t, in)["type"])
	for _, text := range []string{
		line(1, "one"), "nonsense\n", `{"type":"line","seq":2,"time":"x","stream":"stdout","text":"no time"}` + "\n",
		line(3, "three"), line(3, "again"), line(1, "again"), strings.Repeat("x", 10_000) + "\n",
		line(5, strings.Repeat("é", 40)), line(6, "a\xffb"), `{"type":"alive"}` + "\n",
		`{"type":"event","seq":7,"time":"5","event":"nothing"}` + "\n", string(appendEvent(nil, 8, 5, Event{Name: EventExited})),
	} {
		_, err := c.Write([]byte(text))
		require.NoError(t, err)
	}
	var codes []string
	for acked := 0.0; acked < 8; {
		m := answer(t, in)
		require.NotNil(t, m)
		if m["type"] == typeError {
			codes = append(codes, m["code"].(string))
		} else {
			assert.GreaterOrEqual(t, m["seq"].(float64), acked)
			acked = m["seq"].(float64)
		}
	}
	assert.Equal(t, []string{CodeBadMessage, CodeBadLine, CodeLineTooLong, CodeLineTooLong, CodeBadLine}, codes)
	assert.Equal(t, "one (1 missing) three (1 missing) "+strings.Repeat("é", 32)+" a\uFFFDb (1 missing) (exited)", k.texts())
}

func TestRefusals(t *testing.T) {
	path := socketPath(t)
	k, _ := serve(t, path, func(o *ServerOptions) { o.MaxConnections = 64 })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	k.server.Serve(tcp, true)
	known := hello()
	c, in := dial(t, path, known)
	answer(t, in)
	other := known
	other.Server = "web-2"
	both := hello()
	both.Build = "b"
	for _, test := range []struct {
		hello Hello
		code  string
	}{
		{Hello{Version: 2, Run: known.Run, Server: "s"}, CodeVersion},
		{Hello{Version: Version, Run: "x", Server: "s"}, CodeBadHello},
		{Hello{Version: Version, Run: known.Run}, CodeBadHello},
		{both, CodeBadHello},
		{other, CodeIdentityChanged},
	} {
		_, in := dial(t, path, test.hello)
		m := answer(t, in)
		assert.Equal(t, test.code, m["code"])
		assert.Equal(t, true, m["fatal"])
		assert.False(t, in.Scan(), "it stays open")
	}
	for _, token := range []string{"", "wrong", "secret"} {
		c, err := net.Dial("tcp", tcp.Addr().String())
		require.NoError(t, err)
		h := hello()
		h.Type, h.Token = typeHello, token
		_, err = c.Write(marshalLine(h))
		require.NoError(t, err)
		m := answer(t, bufio.NewScanner(c))
		if token == "secret" {
			assert.Equal(t, typeWelcome, m["type"])
		} else {
			assert.Equal(t, CodeUnauthorized, m["code"])
		}
		_ = c.Close()
	}
	_, err = c.Write([]byte(line(1, "still here")))
	require.NoError(t, err)
	assert.Equal(t, 1.0, answer(t, in)["seq"])
}

func TestWhoSaysNothingIsSentAway(t *testing.T) {
	path := socketPath(t)
	serve(t, path, func(o *ServerOptions) { o.HelloTimeout = 20 * time.Millisecond })
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(wait)))
	assert.Equal(t, CodeHelloTimeout, answer(t, bufio.NewScanner(c))["code"])
}

func TestTooManyConnections(t *testing.T) {
	path := socketPath(t)
	serve(t, path, func(o *ServerOptions) { o.MaxConnections = 1 })
	_, in := dial(t, path, hello())
	answer(t, in)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	assert.Equal(t, CodeTooMany, answer(t, bufio.NewScanner(c))["code"])
}

func TestLostAndBack(t *testing.T) {
	path := socketPath(t)
	forgotten := make(chan string, 1)
	k, _ := serve(t, path, func(o *ServerOptions) {
		o.LostAfter, o.Remember = 10*time.Millisecond, 2*time.Second
		o.Forget = func(r *Run) { forgotten <- r.Hello.Run }
	})
	h := hello()
	c, in := dial(t, path, h)
	answer(t, in)
	_, err := c.Write([]byte(line(1, "one")))
	require.NoError(t, err)
	answer(t, in)
	_ = c.Close()
	require.Eventually(t, func() bool { return k.texts() == "one (lost)" }, wait, tick)
	c, in = dial(t, path, h)
	assert.Equal(t, 1.0, answer(t, in)["resume"])
	_, err = c.Write([]byte(line(1, "one") + line(2, "two") + string(appendEvent(nil, 3, 5, Event{Name: EventExited}))))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return k.texts() == "one (lost) (back) two (exited)" }, wait, tick, k.texts())
	_ = c.Close()
	select {
	case run := <-forgotten:
		assert.Equal(t, h.Run, run)
	case <-time.After(wait):
		t.Fatal("the run is not forgotten")
	}
}

func TestTheWindowStopsTheReading(t *testing.T) {
	path := socketPath(t)
	block := make(chan struct{})
	k, _ := serve(t, path, func(o *ServerOptions) { o.WindowBytes = 4096 })
	k.block = block
	c, in := dial(t, path, hello())
	answer(t, in)
	const total = 20_000
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for i := range total {
			if _, err := c.Write([]byte(line(uint64(i+1), "text of a line"))); err != nil {
				return
			}
		}
	}()
	select {
	case <-sent:
		t.Fatal("everything was read although nothing is taken")
	case <-time.After(300 * time.Millisecond): // far more than it takes to fill the buffers; too short would only hide a fault
	}
	close(block)
	// Acknowledgements have to be read meanwhile: a server that can't send them reads no more, either.
	for acked := 0.0; acked < total; {
		acked = answer(t, in)["seq"].(float64)
	}
	<-sent
	assert.Len(t, k.all(), total)
}

func TestASecondConnectionOfARunReplacesTheFirst(t *testing.T) {
	path := socketPath(t)
	serve(t, path, nil)
	h := hello()
	_, first := dial(t, path, h)
	answer(t, first)
	_, second := dial(t, path, h)
	assert.Equal(t, typeWelcome, answer(t, second)["type"])
	for m := answer(t, first); ; m = answer(t, first) {
		require.NotNil(t, m)
		if m["type"] == typeError {
			assert.Equal(t, CodeReplaced, m["code"])
			break
		}
	}
}

func TestListenUnix(t *testing.T) {
	path := socketPath(t)
	l, err := ListenUnix(path, 0o620)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o620), info.Mode().Perm())
	_, err = ListenUnix(path, 0o600)
	assert.ErrorContains(t, err, "another collector listens there")
	require.NoError(t, l.Close())
	_, err = os.Stat(path)
	assert.ErrorIs(t, err, os.ErrNotExist)

	// What a killed predecessor left.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	require.NoError(t, err)
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	l, err = ListenUnix(path, 0o600)
	require.NoError(t, err)
	_ = l.Close()

	// A server without a lock, which lives.
	alive, err := net.Listen("unix", path)
	require.NoError(t, err)
	_, err = ListenUnix(path, 0o600)
	assert.ErrorContains(t, err, "somebody else listens there")
	_ = alive.Close()

	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err = ListenUnix(path, 0o600)
	assert.ErrorContains(t, err, "is no socket")
	_, err = ListenUnix("/tmp/"+strings.Repeat("x", 120), 0o600)
	assert.ErrorContains(t, err, "may have 103 bytes")
}

func TestUIDs(t *testing.T) {
	run, at := ulid.Make().String(), time.Unix(1_700_000_000, 123456789)
	assert.Equal(t, UID(run, 7, 0, at), UID(run, 7, 0, at))
	assert.Equal(t, uint64(maxSeq), Seq(UID(run, maxSeq, 3, at)))
	last := ulid.ULID{}
	for seq := uint64(1); seq < 1000; seq++ {
		for nth := range 3 {
			id := UID(run, seq, nth, at.Add(time.Duration(seq)*time.Microsecond))
			assert.Positive(t, bytes.Compare(id[:], last[:]))
			last = id
		}
	}
}
