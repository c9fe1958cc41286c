// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import (
	"time"

	"github.com/gorilla/websocket"
)

// notify sees to it that a writer looks at what waits. It may be called with locks of the hub held.
func (c *conn) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		c.again = true
		return
	}
	c.writing = true
	c.written.Add(1)
	go c.write()
}

// stopWriter waits for the last writer; there is none after it.
func (c *conn) stopWriter() {
	c.written.Wait()
}

// write sends what waits until nothing does.
func (c *conn) write() {
	defer c.written.Done()
	for {
		c.mu.Lock()
		c.again = false
		closing := c.ended // before the last look at the queue, so that nothing is left behind
		c.mu.Unlock()
		more, ok := c.flush()
		if !ok {
			c.close(0, "")
			_ = c.net.Close()
			return // writing stays true: nobody begins again
		}
		if more {
			continue
		}
		if closing {
			c.writeClose()
			return
		}
		c.mu.Lock()
		if !c.again {
			c.writing = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// flush writes a piece of what waits. ok is false when the connection is broken.
func (c *conn) flush() (more, ok bool) {
	g := newGather()
	defer g.free()
	c.mu.Lock()
	if c.ponged {
		g.own = appendFrame(g.own, opPong, c.pong)
		c.pong, c.ponged = nil, false
	}
	if c.ping {
		g.own = appendFrame(g.own, opPing, nil)
		c.ping = false
	}
	room := c.room
	c.mu.Unlock()
	records, more := c.level.take(g, c)
	if g.len() == 0 {
		return more, true
	}
	now := time.Now()
	c.mu.Lock()
	if !c.ended {
		_ = c.net.SetWriteDeadline(now.Add(c.server.opts.WriteTimeout))
	}
	if g.frames > 0 {
		c.active = now
	}
	c.mu.Unlock()
	n, err := g.writeTo(c.net)
	stats := &c.server.stats
	stats.bytes.Add(uint64(n))
	stats.frames.Add(uint64(g.frames))
	stats.writes.Add(1)
	stats.writeNanos.Add(uint64(time.Since(now)))
	if err != nil {
		stats.writeErrors.Add(1)
		c.level.lost(records)
		return false, false
	}
	c.level.sent(records)
	if room != nil {
		select {
		case room <- struct{}{}:
		default:
		}
	}
	return more, true
}

func (c *conn) writeClose() {
	c.mu.Lock()
	code, reason := c.code, c.reason
	c.mu.Unlock()
	if code != 0 {
		_, _ = c.net.Write(appendFrame(nil, opClose, websocket.FormatCloseMessage(code, reason)))
	}
	// The reader waits for the client's answer, but not for ever.
	_ = c.net.SetReadDeadline(time.Now().Add(closeTimeout))
}
