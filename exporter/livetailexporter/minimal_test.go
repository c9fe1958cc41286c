// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package livetailexporter

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// minimal is a WebSocket client written from RFC 6455 alone. It shares no code with the server, not even the library, so
// that the two can't agree on a mistake.
type minimal struct {
	t      *testing.T
	conn   *net.TCPConn
	r      *bufio.Reader
	header http.Header // of the server's answer
	pings  int         // seen so far
}

// Opcodes of RFC 6455, 5.2.
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// handshake connects and asks for the upgrade. Lines of extra end with CR LF.
func handshake(t *testing.T, tl *tail, extra string) (*minimal, int) {
	t.Helper()
	conn, err := net.Dial("tcp", tl.addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(waitFor)))
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: "+tl.addr.String()+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+extra+"\r\n")
	require.NoError(t, err)
	m := &minimal{t: t, conn: conn.(*net.TCPConn), r: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(m.r, nil)
	require.NoError(t, err)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", resp.Header.Get("Sec-WebSocket-Accept"), "the example of RFC 6455, 1.3")
	} else {
		require.NoError(t, resp.Body.Close())
	}
	m.header = resp.Header
	return m, resp.StatusCode
}

// greet connects on the classic level and takes the greeting.
func greet(t *testing.T, tl *tail) *minimal {
	t.Helper()
	m, status := handshake(t, tl, "")
	require.Equal(t, http.StatusSwitchingProtocols, status)
	hello := m.next()
	require.Equal(t, "connected", hello.Type)
	require.NotEmpty(t, hello.Payload["clientId"])
	return m
}

// frame sends one; clients must mask.
func (m *minimal) frame(op byte, payload string) {
	m.t.Helper()
	out := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		out = append(out, 0x80|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 0x80|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 0x80|127), uint64(n))
	}
	mask := [4]byte{7, 11, 13, 17}
	out = append(out, mask[:]...)
	for i := range len(payload) {
		out = append(out, payload[i]^mask[i%4])
	}
	_, err := m.conn.Write(out)
	require.NoError(m.t, err)
}

func (m *minimal) say(text string) {
	m.t.Helper()
	m.frame(opText, text)
}

// read returns the next frame as it is.
func (m *minimal) read() (op byte, payload []byte) {
	m.t.Helper()
	var h [2]byte
	_, err := io.ReadFull(m.r, h[:])
	require.NoError(m.t, err)
	require.Equal(m.t, byte(0x80), h[0]&0xf0, "whole and without extension bits")
	require.Zero(m.t, h[1]&0x80, "servers don't mask")
	n := uint64(h[1])
	switch n {
	case 126:
		var l [2]byte
		_, err = io.ReadFull(m.r, l[:])
		n = uint64(binary.BigEndian.Uint16(l[:]))
	case 127:
		var l [8]byte
		_, err = io.ReadFull(m.r, l[:])
		n = binary.BigEndian.Uint64(l[:])
	}
	require.NoError(m.t, err)
	payload = make([]byte, n)
	_, err = io.ReadFull(m.r, payload)
	require.NoError(m.t, err)
	return h[0] & 0xf, payload
}

// text returns the next text message and answers the pings before it.
func (m *minimal) text() string {
	m.t.Helper()
	for {
		op, payload := m.read()
		switch op {
		case opText:
			return string(payload)
		case opPing:
			m.pings++
			m.frame(opPong, string(payload))
		default:
			require.Fail(m.t, "unexpected frame", "opcode %d: %q", op, payload)
		}
	}
}

func (m *minimal) next() (msg message) {
	m.t.Helper()
	require.NoError(m.t, json.Unmarshal([]byte(m.text()), &msg))
	return msg
}

// hears compares the next messages.
func (m *minimal) hears(messages ...string) {
	m.t.Helper()
	for _, want := range messages {
		require.JSONEq(m.t, want, m.text())
	}
}

// closed reads up to the close frame and returns its code.
func (m *minimal) closed() int {
	m.t.Helper()
	for {
		if op, payload := m.read(); op == opClose {
			require.GreaterOrEqual(m.t, len(payload), 2)
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}
