// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/supervise"
)

const (
	// feedBytes bounds the output that waits to be written to the spool.
	feedBytes = 8 << 20
	// patience is how long Write waits for room: a disk that stands still stops the command for that long, once.
	patience = 250 * time.Millisecond
	// MinSpoolBytes is the smallest bound of a spool.
	MinSpoolBytes = 1 << 20
)

// ClientOptions configure a Client.
type ClientOptions struct {
	// Hello says who runs what. Run and OTLPToken are made by the Client.
	Hello Hello
	// Dial opens a connection.
	Dial func(context.Context) (net.Conn, error)
	// Target names where Dial leads: what is left of other runs is only sent where they would have sent it.
	Target string
	// Token is for TCP.
	Token string
	// SpoolDir is the folder for the spools of all runs; empty: memory.
	SpoolDir string
	// SpoolBytes bounds the spool of this run, and what others left, together.
	SpoolBytes int64
	// MaxLineBytes is how long a line may be before it comes in parts, until the server says otherwise; 0: DefaultMaxLineBytes.
	MaxLineBytes int
	Logger       *zap.Logger
}

// Client forwards the output of one run. It never fails and never waits for a server: what can't be sent is kept in the
// spool, and what can't be kept is counted. Write and Event are safe for concurrent use, Close is the last call.
type Client struct {
	opt    ClientOptions
	spool  *spool
	sender *sender
	lock   *os.File // of the spool's folder; nil: in memory
	dir    string
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	room  chan struct{} // closed and replaced when feed gets shorter
	items chan struct{} // for write: feed is not empty
	feed  []fed
	fed   int // bytes
	stuck bool
	done  bool
	lost  int64 // chunks of output that had no room, in lines

	written  chan struct{} // the spool has all of feed
	leftover chan struct{} // what others left is sent, or given up
}

// fed is a chunk of output, or an event. skipped counts the line ends of output that was given up before it.
type fed struct {
	stream  Stream
	chunk   []byte
	event   *Event
	at      time.Time
	skipped int64
}

// Result is what became of a run.
type Result struct {
	// Left says that messages wait in the spool for the next run.
	Left bool
	// Dir is where.
	Dir string
	// SpoolErr is why the spool could not be written.
	SpoolErr error
}

// NewClient starts a client.
func NewClient(opt ClientOptions) *Client {
	if opt.MaxLineBytes == 0 {
		opt.MaxLineBytes = DefaultMaxLineBytes
	}
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails
	opt.Hello.Type, opt.Hello.Version = typeHello, Version
	opt.Hello.Run, opt.Hello.OTLPToken = ulid.Make().String(), hex.EncodeToString(secret[:])
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		opt: opt, cancel: cancel, room: make(chan struct{}), items: make(chan struct{}, 1),
		written: make(chan struct{}), leftover: make(chan struct{}),
	}
	var err error
	if opt.SpoolDir != "" {
		c.dir, c.lock, err = makeRunDir(opt.SpoolDir, opt.Hello.Run)
	}
	c.spool = newSpool(c.dir, opt.SpoolBytes)
	if err != nil {
		c.spool.err = err
	}
	c.saveInfo(0)
	c.sender = newSender(c.spool, opt.Dial, opt.Hello, opt.Token, opt.Logger)
	c.wg.Add(3)
	go c.write()
	go func() {
		defer c.wg.Done()
		c.sender.run(ctx)
	}()
	go func() {
		defer c.wg.Done()
		defer close(c.leftover)
		if opt.SpoolDir != "" && c.sender.connected(ctx) {
			_, _ = Flush(ctx, opt)
		}
	}()
	return c
}

// Run returns the ULID of the run.
func (c *Client) Run() string { return c.opt.Hello.Run }

// Welcome waits until a server has answered, the first try has failed, or ctx ends.
func (c *Client) Welcome(ctx context.Context) (Welcome, bool) {
	select {
	case <-c.sender.first:
		return c.sender.welcome(), true
	case <-c.sender.tried:
	case <-ctx.Done():
	}
	return Welcome{}, false
}

// Write takes a chunk of output and does not keep it. It reports false when the chunk was given up, because the disk stands
// still.
func (c *Client) Write(stream Stream, chunk []byte) bool {
	if len(chunk) == 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return false
	}
	if c.fed >= feedBytes && !c.stuck {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		for c.fed >= feedBytes && !c.stuck {
			room := c.room
			c.mu.Unlock()
			timeout := false
			select {
			case <-room:
			case <-timer.C:
				timeout = true
			}
			c.mu.Lock()
			c.stuck = c.stuck || timeout && c.fed >= feedBytes
		}
	}
	if c.fed >= feedBytes {
		c.lost += int64(countLines(chunk))
		return false
	}
	c.stuck = false
	c.put(fed{stream: stream, chunk: append([]byte(nil), chunk...), at: time.Now()})
	return true
}

// Event takes a change of state.
func (c *Client) Event(e Event) {
	if e.PID != 0 {
		c.saveInfo(e.PID)
		c.sender.setPID(e.PID)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		c.put(fed{event: &e, at: time.Now()})
	}
}

// put needs mu.
func (c *Client) put(f fed) {
	f.skipped, c.lost = c.lost, 0
	c.feed = append(c.feed, f)
	c.fed += len(f.chunk) + itemOverhead
	c.pokeWriter()
}

func (c *Client) pokeWriter() {
	select {
	case c.items <- struct{}{}:
	default:
	}
}

// write turns output into numbered messages and puts them into the spool.
func (c *Client) write() {
	defer c.wg.Done()
	defer close(c.written)
	w := newWriter(c)
	for range c.items {
		c.mu.Lock()
		feed, done := c.feed, c.done
		c.feed = nil
		c.mu.Unlock()
		if size := c.sender.maxLine(); size > 0 {
			w.limit = size
		}
		for i := range feed {
			w.take(&feed[i])
			c.mu.Lock()
			c.fed -= len(feed[i].chunk) + itemOverhead
			close(c.room)
			c.room = make(chan struct{})
			c.mu.Unlock()
			feed[i].chunk = nil
		}
		if done {
			w.take(&fed{at: time.Now()}) // the rest, where no final event came
			return
		}
	}
}

// Close waits until everything is acknowledged, but not longer than ctx allows, and only for a server that answers: for one
// that is away it does not wait longer than a try takes. What is left stays in the spool for the next run.
func (c *Client) Close(ctx context.Context) Result {
	c.mu.Lock()
	c.done = true
	c.mu.Unlock()
	c.pokeWriter()
	select {
	case <-c.written:
	case <-ctx.Done(): // the disk stands still
	}
	c.sender.drain(ctx)
	if !c.spool.pending() {
		select {
		case <-c.leftover:
		case <-ctx.Done():
		case <-c.sender.lostServer():
		}
	}
	c.cancel()
	result := Result{Left: c.spool.pending(), Dir: c.dir}
	_, _, result.SpoolErr = c.spool.state()
	select {
	case <-c.written:
		c.wg.Wait()
		c.spool.close()
		if c.lock != nil {
			if !result.Left {
				_ = os.RemoveAll(c.dir)
			}
			_ = c.lock.Close()
		}
	default: // the process ends anyway
	}
	return result
}

// saveInfo writes what another process needs to send the spool.
func (c *Client) saveInfo(pid int) {
	if c.dir == "" {
		return
	}
	hello := c.opt.Hello
	hello.PID = pid
	b, _ := json.Marshal(runInfo{Hello: hello, Target: c.opt.Target})
	// If it fails, so do the other files, and that is told.
	path := filepath.Join(c.dir, infoFile)
	if err := os.WriteFile(path+".new", b, 0o600); err == nil {
		_ = os.Rename(path+".new", path)
	}
}

// runInfo is the content of run.json.
type runInfo struct {
	Hello  Hello  `json:"hello"`
	Target string `json:"target"`
}

func makeRunDir(base, run string) (string, *os.File, error) {
	dir := filepath.Join(base, run)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", dir, err)
	}
	return dir, lock, nil
}

// writer numbers what a run prints. It belongs to one goroutine.
type writer struct {
	c       *Client
	limit   int
	framers [2]*supervise.Framer
	buf     []byte
	seq     uint64
	first   uint64 // of buf
	ns      int64
}

func newWriter(c *Client) *writer { return &writer{c: c, limit: c.opt.MaxLineBytes} }

func (w *writer) take(f *fed) {
	w.ns = max(w.ns, f.at.UnixNano()) // never back, so that the ids increase
	w.buf = w.buf[:0]
	w.first = w.seq + 1
	if f.skipped > 0 {
		w.seq += uint64(f.skipped)
		w.first = w.seq + 1
	}
	switch {
	case f.event != nil:
		if final(f.event.Name) {
			w.finish()
		}
		w.seq++
		w.buf = appendEvent(w.buf, w.seq, w.ns, *f.event)
	case len(f.chunk) > 0:
		w.framer(f.stream).Write(f.chunk)
	default:
		w.finish()
	}
	if w.seq >= w.first {
		w.c.spool.append(w.buf, w.first, w.seq)
	}
	if cap(w.buf) > 4<<20 {
		w.buf = nil
	}
}

// framer returns that of a stream. The limit of the first chunk stays.
func (w *writer) framer(stream Stream) *supervise.Framer {
	i := stream - Stdout
	if w.framers[i] == nil {
		w.framers[i] = supervise.NewFramer(w.limit, func(text []byte, part int, last bool) {
			w.seq++
			w.buf = appendLine(w.buf, w.seq, w.ns, stream, text, part, last)
		})
	}
	return w.framers[i]
}

// finish hands out what stands behind the last line ends.
func (w *writer) finish() {
	for _, framer := range w.framers {
		if framer != nil {
			framer.Close()
		}
	}
}

// countLines counts the lines that end in a chunk, at least 1.
func countLines(chunk []byte) int {
	n := 0
	for _, c := range chunk {
		if c == '\n' {
			n++
		}
	}
	return max(n, 1)
}
