// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e drives the binary that ocb built with the shipped configurations, the embedded ClickHouse
// and real clients, as a user would. `make test-e2e` builds what it needs.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

const password = "e2e-password"

// product is one running Tailrace with addresses and a data folder of its own.
type product struct {
	t    testing.TB
	root string // of the repository
	data string

	secret                   string // the password of ClickHouse
	binary                   string // the collector
	configs                  []string
	grpc, http, tail, health string
	chTCP, chHTTP, metrics   int

	wrap    func(*exec.Cmd) // changes how the collector is started; may be nil
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process has ended
	waitErr error         // valid after exited
	log     *os.File
	conn    driver.Conn
}

// newProduct prepares a product without starting it. Further configurations are merged over the first one.
func newProduct(t testing.TB, configs ...string) *product {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, name := range []string{"tailrace", "tailrace-clickhouse", "libchdb.so"} {
		_, err := os.Stat(filepath.Join(root, "_build", name))
		require.NoError(t, err, "run `make build clickhouse` first")
	}
	p := &product{
		t: t, root: root, secret: password, binary: filepath.Join(root, "_build", "tailrace"), data: filepath.Join(t.TempDir(), "data"), configs: configs,
		grpc: freeport.Address(t), http: freeport.Address(t), tail: freeport.Address(t), health: freeport.Address(t),
		chTCP: freeport.For(t), chHTTP: freeport.For(t), metrics: freeport.For(t),
	}
	p.connect()
	t.Cleanup(func() {
		_ = p.conn.Close()
		p.killAll()
	})
	return p
}

// connect prepares the connection to ClickHouse; it is made by the first question.
func (p *product) connect() {
	p.t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(p.chTCP))},
		Auth: clickhouse.Auth{Username: "tailrace", Password: p.secret},
	})
	require.NoError(p.t, err)
	p.conn = conn
}

// startProduct starts a product and waits until it is ready.
func startProduct(t testing.TB, configs ...string) *product {
	t.Helper()
	p := newProduct(t, configs...)
	p.start()
	p.waitReady()
	return p
}

// start starts the collector in a session of its own and returns at once.
func (p *product) start() {
	p.t.Helper()
	require.NoError(p.t, os.MkdirAll(p.data, 0o750))
	log, err := os.OpenFile(filepath.Join(p.data, "tailrace.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(p.t, err)
	args := make([]string, 0, 2*len(p.configs))
	for _, c := range p.configs {
		args = append(args, "--config", c)
	}
	p.log = log
	p.cmd = exec.Command(p.binary, args...)
	p.cmd.Dir = p.root
	p.cmd.Env = append(os.Environ(), p.environ()...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.wrap != nil {
		p.wrap(p.cmd)
	}
	require.NoError(p.t, p.cmd.Start())
	exited, cmd := make(chan struct{}), p.cmd
	p.exited = exited
	go func() {
		p.waitErr = cmd.Wait()
		log.Close()
		close(exited)
	}()
}

// startClickHouseOnly starts a collector on the data of one that has ended that runs ClickHouse and loads nothing.
func (p *product) startClickHouseOnly() {
	p.t.Helper()
	p.configs = []string{"config/otlp-only.yaml", "yaml:service: {pipelines: {traces/store: {receivers: [otlp], exporters: [debug]}, logs/store: {receivers: [otlp], exporters: [debug]}, metrics/store: {receivers: [otlp], exporters: [debug]}}}", "yaml:exporters: {debug: {}}"}
	p.start()
	p.waitReady()
}

func (p *product) environ() []string {
	return []string{
		"TAILRACE_DATA=" + p.data,
		"TAILRACE_OTLP_GRPC=" + p.grpc,
		"TAILRACE_OTLP_HTTP=" + p.http,
		"TAILRACE_CONSOLE=" + p.tail,
		"TAILRACE_HEALTH=" + p.health,
		"TAILRACE_CLICKHOUSE_TCP=" + strconv.Itoa(p.chTCP),
		"TAILRACE_CLICKHOUSE_HTTP=" + strconv.Itoa(p.chHTTP),
		"TAILRACE_CLICKHOUSE_PASSWORD=" + p.secret,
		"TAILRACE_METRICS_PORT=" + strconv.Itoa(p.metrics),
	}
}

// waitReady waits until OTLP is accepted and ClickHouse has the tables.
func (p *product) waitReady() {
	p.t.Helper()
	p.await(60*time.Second, "ready", func() error {
		if err := p.healthy(); err != nil {
			return err
		}
		_, err := p.count("SELECT count() FROM tailrace.otel_logs")
		return err
	})
}

func (p *product) healthy() error {
	resp, err := http.Get("http://" + p.health)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// await polls check until it returns nil; an error at the deadline fails the test with the collector's log.
func (p *product) await(timeout time.Duration, what string, check func() error) {
	p.t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-p.exited:
			p.fail("the collector ended while waiting for: %s: %v", what, p.waitErr)
		default:
		}
		if time.Now().After(deadline) {
			p.fail("not %s after %s: %v", what, timeout, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *product) fail(format string, args ...any) {
	p.t.Helper()
	p.t.Logf("the collector's log ends with:\n%s", p.logTail(60))
	require.FailNowf(p.t, "product", format, args...)
}

// logged tells whether a text is in what the collector has printed.
func (p *product) logged(text string) bool {
	raw, _ := os.ReadFile(filepath.Join(p.data, "tailrace.log"))
	return bytes.Contains(raw, []byte(text))
}

func (p *product) logTail(lines int) string {
	raw, _ := os.ReadFile(filepath.Join(p.data, "tailrace.log"))
	var all []string
	for line := range strings.Lines(string(raw)) {
		if line[0] != '\t' && !strings.HasPrefix(line, "github.com/") && !strings.HasPrefix(line, "go.opentelemetry.io/") { // stack traces
			all = append(all, strings.TrimSpace(line))
		}
	}
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// count runs a query that returns one unsigned number.
func (p *product) count(query string, args ...any) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var n uint64
	err := p.conn.QueryRow(ctx, query, args...).Scan(&n)
	return n, err
}

// awaitCount waits until the query returns want.
func (p *product) awaitCount(timeout time.Duration, want uint64, query string, args ...any) {
	p.t.Helper()
	p.await(timeout, fmt.Sprintf("%d rows for %s", want, query), func() error {
		n, err := p.count(query, args...)
		if err == nil && n != want {
			err = fmt.Errorf("%d rows", n)
		}
		return err
	})
}

// stop ends the collector as Ctrl-C does and requires a clean end.
func (p *product) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	select {
	case <-p.exited:
	case <-time.After(40 * time.Second):
		p.fail("still running 40 s after SIGINT")
	}
	if p.waitErr != nil {
		p.fail("did not end cleanly: %v", p.waitErr)
	}
}

// kill ends the collector with SIGKILL and waits for it.
func (p *product) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// killAll ends the collector with SIGKILL and waits until nothing that it started is left: what still
// writes to the data folder would make its removal fail. What does not end by itself is a leak.
func (p *product) killAll() {
	if p.cmd == nil {
		return
	}
	var left []watched
	for _, process := range p.processes() {
		pid, _, _ := strings.Cut(process, " ")
		left = append(left, watch(pid, process))
	}
	p.kill()
	deadline := time.Now().Add(20 * time.Second)
	for _, w := range left {
		if !w.wait(time.Until(deadline)) {
			p.t.Errorf("still running after the collector was killed: %s", w.what)
			w.kill()
		}
	}
}

// processes lists the live processes that belong to this product, by its addresses and folder in their
// command line or environment.
func (p *product) processes() []string {
	marks := [][]byte{[]byte(p.data), []byte(p.http)}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(p.t, err)
	var found []string
	for _, dir := range dirs {
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		if dir == "/proc/"+strconv.Itoa(os.Getpid()) || len(cmdline) == 0 {
			continue
		}
		for _, mark := range marks {
			if bytes.Contains(cmdline, mark) || bytes.Contains(environ, mark) {
				found = append(found, filepath.Base(dir)+" "+string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
				break
			}
		}
	}
	return found
}

// files lists segments below the JSONL folder as paths relative to it, filtered by a suffix.
func (p *product) files(suffix string) []string {
	base := filepath.Join(p.data, "jsonl")
	var found []string
	_ = filepath.WalkDir(base, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, suffix) {
			rel, _ := filepath.Rel(base, path)
			found = append(found, rel)
		}
		return nil
	})
	return found
}

// residentMiB is the resident memory of the collector process.
func (p *product) residentMiB() float64 {
	p.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	require.NoError(p.t, err)
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}

// peakMiB is the most memory that a process has had resident.
func (p *product) peakMiB(pid int) float64 {
	p.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(p.t, err)
	_, rest, ok := strings.Cut(string(raw), "VmHWM:")
	require.True(p.t, ok)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(p.t, err)
	return float64(kib) / 1024
}

// cpu is the time that a process has used.
func (p *product) cpu(pid int) time.Duration {
	p.t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(p.t, err)
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.Atoi(field)
		require.NoError(p.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// metric returns the sum of a metric's series in the collector's own telemetry whose labels contain all of the given texts.
func (p *product) metric(name string, labels ...string) (float64, error) {
	resp, err := http.Get("http://localhost:" + strconv.Itoa(p.metrics) + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
next:
	for line := range strings.Lines(string(raw)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || (rest[0] != '{' && rest[0] != ' ') {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(rest, l) {
				continue next
			}
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(strings.TrimSpace(rest), ' '):]), 64)
		if err != nil {
			return 0, fmt.Errorf("%q: %w", line, err)
		}
		sum, found = sum+value, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s %v", name, labels)
	}
	return sum, nil
}

// awaitGone waits until no process of a product that was stopped is left.
func (p *product) awaitGone(timeout time.Duration) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return len(p.processes()) == 0 }, timeout, 20*time.Millisecond, "processes are left: %v", p.processes())
}
