// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// digest makes texts of any length comparable in constant time.
func digest(username, password string) [2][32]byte {
	return [2][32]byte{sha256.Sum256([]byte(username)), sha256.Sum256([]byte(password))}
}

// allowed compares the name and the password as they are: markers of other ways to log in (SSH keys, tokens, the
// secret of a cluster) come in place of the name, and so are refused.
func (g *Guard) allowed(h hello) bool {
	got := digest(h.username, h.password)
	return subtle.ConstantTimeCompare(got[0][:], g.credentials[0][:])&subtle.ConstantTimeCompare(got[1][:], g.credentials[1][:]) == 1
}

// serve is one client from the Hello to the end.
func (g *Guard) serve(client *net.TCPConn) {
	_ = client.SetDeadline(time.Now().Add(g.cfg.timeouts.handshake))
	r := bufio.NewReader(client)
	h, err := readHello(r)
	switch {
	case errors.Is(err, io.EOF):
		return // somebody looked whether the port is open
	case errors.Is(err, errNotHello):
		g.refused(Protocol, err)
		g.answerStranger(client, r)
		return
	case err != nil:
		g.refused(Protocol, err)
		return
	}
	if !g.allowed(h) {
		g.refused(Login, errors.New("wrong user name or password"))
		g.answer(client, exception(codeAuthenticationFailed, "Authentication failed: password is incorrect, or there is no user with such name."))
		return
	}
	backend, answer := g.reach(h)
	if backend == nil {
		if answer != nil {
			g.answer(client, answer)
		}
		return
	}
	defer g.untrack(backend)
	g.forward(client, r, backend, h)
}

// reach connects to ClickHouse for a client who may, or returns what to answer, nil for nothing: ClickHouse is
// away, and a client should see that as such and try again.
func (g *Guard) reach(h hello) (*net.TCPConn, []byte) {
	ctx, cancel := context.WithTimeout(g.ctx, g.cfg.timeouts.backend)
	defer cancel()
	address := g.where(ctx)
	if address == "" {
		g.refused(Unavailable, errors.New("ClickHouse does not run at the moment"))
		return nil, nil
	}
	if h.database != "" {
		exists, err := g.cfg.DatabaseExists(ctx, h.database)
		if err != nil {
			g.refused(Database, fmt.Errorf("ClickHouse does not tell whether a database exists: %w", err))
			return nil, exception(codeNetworkError, "ClickHouse does not tell whether the database exists.")
		}
		if !exists {
			g.refused(Database, errors.New("the database does not exist"))
			return nil, exception(codeUnknownDatabase, fmt.Sprintf("Database %s does not exist.", strings.ToValidUTF8(h.database, "\uFFFD")))
		}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		g.refused(Unavailable, err)
		return nil, nil
	}
	backend := conn.(*net.TCPConn)
	if !g.track(backend) {
		_ = backend.Close()
		return nil, nil
	}
	return backend, nil
}

// answerStranger tells a browser, as ClickHouse does, and nobody else.
func (g *Guard) answerStranger(client *net.TCPConn, r *bufio.Reader) {
	begin, _ := r.Peek(4)
	switch string(begin) {
	case "GET ", "POST", "HEAD", "PUT ", "OPTI":
		g.answer(client, fmt.Appendf(nil, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n"+
			"This port speaks ClickHouse's native protocol. HTTP is at port %d.\r\n", g.cfg.HTTPPort))
	}
}

// answer sends the last words to a client.
func (g *Guard) answer(client *net.TCPConn, text []byte) {
	_ = client.SetDeadline(time.Now().Add(g.cfg.timeouts.linger))
	if _, err := client.Write(text); err == nil {
		g.linger(client)
	}
}

// linger lets a client read what was sent to it: closing a socket that has unread data destroys what is still on
// its way.
func (g *Guard) linger(client *net.TCPConn) {
	_ = client.SetDeadline(time.Now().Add(g.cfg.timeouts.linger))
	_ = client.CloseWrite()
	_, _ = io.Copy(io.Discard, io.LimitReader(client, 1<<20))
}

// forward moves bytes both ways until both sides have closed.
func (g *Guard) forward(client *net.TCPConn, r *bufio.Reader, backend *net.TCPConn, h hello) {
	_ = client.SetDeadline(time.Time{})
	reads := &reading{conn: client}
	if _, err := backend.Write(h.append(nil)); err != nil {
		return
	}

	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, backend)
		// Either ClickHouse has closed, or the client does not take any more. In both cases nothing that it still
		// sends is of use.
		reads.stop()
		// ClickHouse ends the query when it sees that nobody listens, and then closes. That may take as long as it
		// takes: a socket closed before would answer its next word with a reset, which it would die of.
		_, _ = io.Copy(io.Discard, backend)
	})

	if g.forwardAddendum(reads, r, backend, h.revision) == nil {
		_, _ = io.Copy(backend, client)
	}
	// The client has ended, or is about to: what is left for it is little.
	_ = client.SetWriteDeadline(time.Now().Add(g.cfg.timeouts.drain))
	_ = backend.CloseWrite()
	answers.Wait()
	g.linger(client)
}

// forwardAddendum forwards the rest of the handshake as a whole, and what the client sent along with it.
func (g *Guard) forwardAddendum(reads *reading, r *bufio.Reader, backend *net.TCPConn, revision uint64) error {
	reads.deadline(time.Now().Add(g.cfg.timeouts.handshake))
	a, err := readAddendum(r, revision)
	if err != nil {
		if !reads.stopped() {
			g.refused(Protocol, err)
		}
		return err
	}
	ahead, err := r.Peek(r.Buffered())
	if err != nil {
		return err
	}
	if _, err := backend.Write(append(a.append(nil, revision), ahead...)); err != nil {
		return err
	}
	reads.deadline(time.Time{})
	return nil
}

// reading is the direction from a client. Once stopped it stays so, whatever deadline is set later.
type reading struct {
	conn *net.TCPConn

	mu    sync.Mutex
	ended bool // guarded by mu
}

func (r *reading) deadline(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		_ = r.conn.SetReadDeadline(t)
	}
}

func (r *reading) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	_ = r.conn.SetReadDeadline(time.Unix(1, 0))
}

func (r *reading) stopped() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}
