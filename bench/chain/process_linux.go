// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

// A child is killed when the thread that started it ends: all are started from the main goroutine, which keeps the main thread.
func init() { runtime.LockOSThread() }

// process is a child with its log in a file.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	log  string
	done chan struct{}
}

func start(log string, cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p.cmd.Dir = filepath.Dir(log)
	p.cmd.Stdout, p.cmd.Stderr = f, f
	// The group of its own keeps Ctrl-C from it: children are ended in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// cpu is the processor time that a running process has used so far, in seconds.
func (p *process) cpu() float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / 100 // USER_HZ
}

// stop ends a collector as Ctrl-C does and returns all of its processor time and its peak of resident memory in MiB.
func (p *process) stop() (cpu, peak float64, err error) {
	// Not from the rusage: that begins with this program's own memory, which the child has until it executes.
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
		kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		peak = kib / 1024
	}
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		p.kill()
		return 0, 0, p.failed(errors.New("still running two minutes after SIGINT"))
	}
	s := p.cmd.ProcessState
	if !s.Success() {
		return 0, 0, p.failed(fmt.Errorf("did not end cleanly: %s", s))
	}
	return s.UserTime().Seconds() + s.SystemTime().Seconds(), peak, nil
}

// kill is for every way out: it does nothing to a process that has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.in.Close()
}

// failed adds the end of the log to an error.
func (p *process) failed(err error) error {
	raw, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), err, raw[max(0, len(raw)-3000):])
}

// until polls until check is true. It ends early with the process or the context.
func (p *process) until(ctx context.Context, what string, check func() bool) error {
	deadline := time.After(time.Minute)
	for !check() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return p.failed(fmt.Errorf("ended before: %s", what))
		case <-deadline:
			return p.failed(fmt.Errorf("not after a minute: %s", what))
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

const password = "bench"

// server is an embedded ClickHouse with a folder of its own. Its settings are its defaults, so the same for both sides.
type server struct {
	*process
	tcp, http string
}

func startClickHouse(ctx context.Context, build, dir string) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	cmd, err := clickhousetest.Command{Build: build, Dir: dir, User: "tailrace", Password: password, TCPPort: ports[0], HTTPPort: ports[1]}.Prepare()
	if err != nil {
		return nil, err
	}
	s := &server{tcp: loopback(ports[0]), http: loopback(ports[1])}
	if s.process, err = start(filepath.Join(dir, "clickhouse.log"), cmd); err != nil {
		return nil, err
	}
	if err := s.until(ctx, "ClickHouse answers", func() bool { return s.exec(ctx, "SELECT 1") == nil }); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// send runs a query over HTTP; body, if any, is the data of an INSERT. The caller closes what is returned.
func (s *server) send(ctx context.Context, query string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.http+"/?query="+url.QueryEscape(query), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-ClickHouse-User", "tailrace")
	req.Header.Set("X-ClickHouse-Key", password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		message, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("%s: %s: %s", query, resp.Status, message)
	}
	return resp.Body, nil
}

func (s *server) exec(ctx context.Context, query string) error {
	body, err := s.send(ctx, query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

// rows returns the fields of a query's rows.
func (s *server) rows(ctx context.Context, query string) ([][]string, error) {
	body, err := s.send(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	var rows [][]string
	for line := range strings.Lines(string(raw)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, err
}

// numbers returns the only row of a query.
func (s *server) numbers(ctx context.Context, query string) ([]int64, error) {
	rows, err := s.rows(ctx, query)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("%s: %d rows", query, len(rows))
	}
	out := make([]int64, len(rows[0]))
	for i, field := range rows[0] {
		if out[i], err = strconv.ParseInt(field, 10, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", query, err)
		}
	}
	return out, nil
}

// freePorts returns ports of 127.0.0.1 that nobody else gets.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		var err error
		if ports[i], err = freeport.Take(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
