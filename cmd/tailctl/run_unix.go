// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tailrace/tailrace/internal/lineproto"
)

const (
	// welcomeWait bounds how much later the command starts because of us.
	welcomeWait = 300 * time.Millisecond
	// quietTime is how long its output has to be silent, after the command has ended, before it is given up: then only
	// a process that it left behind still holds it.
	quietTime = 300 * time.Millisecond
	// lastWords and lastTime bound what is still read from such a process that is not silent: more than a pipe holds.
	lastWords = 1 << 20
	lastTime  = 2 * time.Second
)

// runCommand runs args; the error is the exit code.
func runCommand(f *runFlags, opt lineproto.ClientOptions, args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return cannotStart(args[0], err)
	}
	signals := catchSignals()
	client := lineproto.NewClient(opt)
	env := os.Environ()
	if !f.noOTelEnv {
		otlp := defaultOTLP
		ctx, cancel := context.WithTimeout(context.Background(), welcomeWait)
		if welcome, ok := client.Welcome(ctx); ok {
			otlp = lineproto.OTLP{} // who does not say where takes none
			if welcome.OTLP != nil {
				otlp = *welcome.OTLP
			}
		}
		cancel()
		env = childEnv(env, opt.Hello, otlp)
	}
	runs := lineproto.EventBuilding
	if f.build == "" {
		runs = lineproto.EventRunning
		client.Event(lineproto.Event{Name: lineproto.EventStarting})
	}
	c, err := startChild(path, args, env, f.group)
	if err != nil {
		client.Event(lineproto.Event{Name: lineproto.EventFailed, Reason: err.Error()})
		f.finish(client, signals)
		return cannotStart(args[0], err)
	}
	client.Event(lineproto.Event{Name: runs, PID: c.pid}) // before its first line
	for _, o := range c.outputs {
		go o.copy(client)
	}
	ended := make(chan struct{})
	go c.forwardSignals(signals, ended)
	status := c.wait()
	close(ended)
	c.readRest()
	client.Event(c.end(status, f.build != ""))
	f.finish(client, signals)
	if status.Signaled() {
		dieOf(status.Signal())
		return exitError(128 + int(status.Signal()))
	}
	return exitError(status.ExitStatus())
}

// cannotStart says why, with the exit codes of a shell.
func cannotStart(name string, err error) error {
	var inner *exec.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	fmt.Fprintf(os.Stderr, "tailctl: %s: %v\n", name, err)
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return exitError(127)
	}
	return exitError(126)
}

// finish sends the rest; a signal ends the waiting.
func (f *runFlags) finish(client *lineproto.Client, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), f.drain)
	defer cancel()
	go func() {
		for {
			select {
			case s := <-signals:
				if stops(s) {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	result := client.Close(ctx)
	if f.quiet {
		return
	}
	if result.Left && result.Dir != "" {
		fmt.Fprintf(os.Stderr, "tailctl: the collector has not taken all lines yet; the next tailctl run sends them (%s)\n", result.Dir)
	} else if result.Left {
		fmt.Fprintln(os.Stderr, "tailctl: the collector has not taken all lines, and they could not be kept:", result.SpoolErr)
	}
}

// child is the command with its output.
type child struct {
	pid      int
	target   int // of signals: the pid, or minus the group
	terminal *terminal
	shared   bool // it is in our process group
	started  time.Time
	outputs  []*output

	stopping atomic.Bool // we forwarded a signal that asks it to end

	mu     sync.Mutex
	reaped bool // no signal may be sent any more
}

// output is one stream of the command.
type output struct {
	from   *os.File // what the command writes comes out here
	to     *os.File // our own
	stream lineproto.Stream
	isPTY  bool
	bytes  atomic.Int64
	done   chan struct{}
}

// startChild starts the command in our process group where it may use the terminal, so that the terminal treats both as
// one job (Ctrl-C and Ctrl-Z reach it as without us), else in a group of its own, so that who signals our group reaches it once.
// Its output is not read yet.
func startChild(path string, args, env []string, group bool) (*child, error) {
	c := &child{terminal: openTerminal()}
	c.shared = c.terminal != nil && (isTerminal(os.Stdout) || isTerminal(os.Stderr) || isTerminal(os.Stdin) && c.terminal.foreground())
	files := []*os.File{os.Stdin, nil, nil}
	closeAll := func(of []*os.File) {
		for _, f := range of {
			_ = f.Close()
		}
	}
	for i, own := range []*os.File{os.Stdout, os.Stderr} {
		from, to, isPTY, err := makeOutput(own)
		if err != nil {
			closeAll(files[1 : 1+i])
			for _, o := range c.outputs {
				_ = o.from.Close()
			}
			return nil, err
		}
		files[1+i] = to
		c.outputs = append(c.outputs, &output{
			from: from, to: own, stream: lineproto.Stream(i + 1), isPTY: isPTY, done: make(chan struct{}),
		})
	}
	process, err := os.StartProcess(path, args, &os.ProcAttr{Env: env, Files: files, Sys: childAttributes(!c.shared)})
	closeAll(files[1:])
	if err != nil {
		for _, o := range c.outputs {
			_ = o.from.Close()
		}
		return nil, err
	}
	c.started = time.Now()
	c.pid = process.Pid
	_ = process.Release() // wait does it: as process 1 it has to wait for others, too
	c.target = c.pid
	if group && !c.shared {
		c.target = -c.pid
	}
	return c, nil
}

// copy passes output through, then hands it to the client.
func (o *output) copy(client *lineproto.Client) {
	defer close(o.done)
	defer o.from.Close()
	chunk := make([]byte, 64<<10)
	for {
		n, err := o.from.Read(chunk)
		if n > 0 {
			o.bytes.Add(int64(n))
			_, failed := o.to.Write(chunk[:n])
			client.Write(o.stream, chunk[:n])
			if failed != nil {
				return // the command notices that nobody reads, as it would without us
			}
		}
		if err != nil { // EOF; EIO of a pty whose other side is closed
			return
		}
	}
}

// wait waits for the command, and as process 1 also for all that was left to it.
func (c *child) wait() syscall.WaitStatus {
	which := c.pid
	if os.Getpid() == 1 {
		which = -1
	} else {
		for !waitable(c.pid) { // interrupted
		}
	}
	// Once it is waited for, its pid may be somebody else's: no signal goes out from here on.
	c.mu.Lock()
	c.reaped = which > 0 && waitsFirst
	c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(which, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err == nil && (pid != c.pid || !status.Exited() && !status.Signaled()) {
			continue
		}
		c.mu.Lock()
		c.reaped = true
		c.mu.Unlock()
		return status
	}
}

// readRest waits for the end of the output, for as long as anything comes.
func (c *child) readRest() {
	deadline := time.Now().Add(lastTime)
	for _, o := range c.outputs {
		before := o.bytes.Load()
		seen := before
	waiting:
		for {
			select {
			case <-o.done:
				break waiting
			case <-time.After(quietTime):
			}
			now := o.bytes.Load()
			if now == seen || now-before > lastWords && time.Now().After(deadline) {
				break
			}
			seen = now
		}
	}
}

// end says how the command ended.
func (c *child) end(status syscall.WaitStatus, build bool) lineproto.Event {
	e := lineproto.Event{Name: lineproto.EventExited, Code: status.ExitStatus(), Uptime: time.Since(c.started)}
	if status.Signaled() {
		e.Signal = unix.SignalName(status.Signal())
	}
	if build {
		switch {
		case e.Code == 0:
			e.Name = lineproto.EventSucceeded
		case c.stopping.Load() || status.Signaled() && stops(status.Signal()):
			e.Name = lineproto.EventCancelled
		default:
			e.Name = lineproto.EventFailed
		}
	}
	return e
}

// stops tells the signals that ask a program to end.
func stops(s os.Signal) bool {
	switch s {
	case syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT:
		return true
	}
	return false
}

// catchSignals catches what is forwarded, before there is a command, so that nothing is lost. What was ignored when we were started
// (nohup) stays so, for the command, too.
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 32)
	for _, s := range []os.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
		syscall.SIGPIPE, // writing says it, too
	} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	return signals
}

func (c *child) forwardSignals(signals <-chan os.Signal, ended <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			c.forward(s.(syscall.Signal))
		case <-ended:
			return
		}
	}
}

func (c *child) forward(s syscall.Signal) {
	switch s {
	case syscall.SIGPIPE:
		return
	case syscall.SIGWINCH:
		c.resize()
	case syscall.SIGINT, syscall.SIGQUIT:
		c.stopping.Store(true)
		if c.shared && c.terminal.foreground() {
			return // the key was pressed: the terminal told the command itself
		}
	case syscall.SIGHUP:
		c.stopping.Store(true)
		if c.shared && c.terminal.gone() {
			return
		}
	case syscall.SIGTERM:
		c.stopping.Store(true)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.reaped {
		_ = syscall.Kill(c.target, s)
	}
}

// resize gives the terminals of the command the size of ours.
func (c *child) resize() {
	for _, o := range c.outputs {
		if o.isPTY {
			copySize(o.to, o.from)
		}
	}
}
