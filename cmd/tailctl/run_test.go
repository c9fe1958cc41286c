// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/tailrace/tailrace/internal/freeport"
	"github.com/tailrace/tailrace/internal/identity"
	"github.com/tailrace/tailrace/receiver/runnerlogreceiver"
)

const (
	wait = 40 * time.Second
	tick = 10 * time.Millisecond
)

// The test binary is tailctl itself, or a program that it runs, where one of these is set.
const (
	asTailctl = "TAILCTL_TEST_IS_TAILCTL"
	asProgram = "TAILCTL_TEST_IS_PROGRAM"
)

func TestMain(m *testing.M) {
	if os.Getenv(asTailctl) != "" {
		_ = os.Unsetenv(asTailctl) // the command is not tailctl
		main()
	}
	if os.Getenv(asProgram) != "" {
		program()
	}
	os.Exit(m.Run())
}

// place is where a test has its socket and its spool.
type place struct{ dir, socket, spool string }

func newPlace(t *testing.T) place {
	dir, err := os.MkdirTemp("", "tc") // short: the path of a socket is bounded
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return place{dir: dir, socket: filepath.Join(dir, "s"), spool: filepath.Join(dir, "spool")}
}

// tailctl returns `tailctl run` with args.
func (p place) tailctl(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], append([]string{"run", "--spool-dir", p.spool}, args...)...)
	cmd.Env = append(os.Environ(), asTailctl+"=1", "TAILRACE_SOCKET="+p.socket)
	return cmd
}

// sink is a pipeline that remembers records, by uid.
type sink struct {
	consumer.Logs
	refuse atomic.Bool
	calls  atomic.Int64

	mu      sync.Mutex
	seen    map[string]bool
	records []record
	again   int // records whose uid was there already
}

type record struct {
	body, stream, event, uid string
	resource, attributes     map[string]any
	severity                 plog.SeverityNumber
}

func newSink() *sink { return &sink{seen: map[string]bool{}} }

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	s.calls.Add(1)
	if s.refuse.Load() {
		return errors.New("not now")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range logs.ResourceLogs().All() {
		attrs := resource.Resource().Attributes().AsRaw()
		for _, scope := range resource.ScopeLogs().All() {
			for _, r := range scope.LogRecords().All() {
				own := r.Attributes().AsRaw()
				uid, _ := own[identity.AttrLogUID].(string)
				if s.seen[uid] {
					s.again++
					continue
				}
				s.seen[uid] = true
				stream, _ := own[identity.AttrLogStream].(string)
				s.records = append(s.records, record{
					body: r.Body().Str(), stream: stream, event: r.EventName(), uid: uid, resource: attrs, attributes: own,
					severity: r.SeverityNumber(),
				})
			}
		}
	}
	return nil
}

func (s *sink) all() []record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]record(nil), s.records...)
}

// lines returns the bodies of the lines of a stream, of both when empty.
func (s *sink) lines(stream string) []string {
	var out []string
	for _, r := range s.all() {
		if r.stream != "" && (stream == "" || r.stream == stream) {
			out = append(out, r.body)
		}
	}
	return out
}

// states returns the values of an attribute of events, in order.
func (s *sink) states(event, attribute string) []string {
	var out []string
	for _, r := range s.all() {
		if r.event == event {
			out = append(out, fmt.Sprint(r.attributes[attribute]))
		}
	}
	return out
}

func (s *sink) lifecycle() []string {
	return s.states(identity.EventServerLifecycle, identity.AttrLifecycleState)
}

func (s *sink) hasEnded() bool {
	for _, state := range s.lifecycle() {
		if state == "exited" {
			return true
		}
	}
	return false
}

type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// collector starts a receiver that listens at the place; stop may be called early.
func (p place) collector(t *testing.T, next consumer.Logs, more map[string]any) (stop func()) {
	listen := map[string]any{"socket": p.socket}
	for key, value := range more {
		listen[key] = value
	}
	factory := runnerlogreceiver.NewFactory()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"multiline": false, "parse": "none", "listen": listen}).Unmarshal(cfg))
	r, err := factory.CreateLogs(t.Context(), receivertest.NewNopSettings(factory.Type()), cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host{}))
	return stopper(t, r)
}

func stopper(t *testing.T, r receiver.Logs) func() {
	stop := sync.OnceFunc(func() { assert.NoError(t, r.Shutdown(context.Background())) })
	t.Cleanup(stop)
	return stop
}

func code(t *testing.T, err error) int {
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	return exit.ExitCode()
}

// What a program may print: no line end at the end, CR LF, NUL, invalid UTF-8, empty lines, long lines, escape sequences.
const nasty = `printf 'plain\r\n\n\0nul\0\n\377\376bad\n\033[31mred\033[0m\rprogress\n'; head -c 700000 /dev/zero | tr '\0' x; printf '\n'; printf 'err \342\202' >&2; printf '\254 end' >&2; printf 'no end'`

func TestOutputIsUnchanged(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("away=%v", away), func(t *testing.T) {
			p, sink := newPlace(t), newSink()
			if !away {
				p.collector(t, sink, nil)
			}
			var want, wantErr, got, gotErr bytes.Buffer
			direct := exec.Command("sh", "-c", nasty)
			direct.Stdout, direct.Stderr = &want, &wantErr
			require.NoError(t, direct.Run())
			cmd := p.tailctl("-q", "--server", "web-1", "--", "sh", "-c", nasty)
			cmd.Stdout, cmd.Stderr = &got, &gotErr
			require.NoError(t, cmd.Run())
			assert.True(t, bytes.Equal(want.Bytes(), got.Bytes()), "stdout differs")
			assert.True(t, bytes.Equal(wantErr.Bytes(), gotErr.Bytes()), "stderr differs")
			if away {
				return
			}
			require.Eventually(t, sink.hasEnded, wait, tick)
			out := sink.lines("stdout")
			require.Len(t, out, 5+3+1) // the long line comes in three parts
			assert.Equal(t, []string{"plain", "", "\x00nul\x00", "\uFFFDbad", "\x1b[31mred\x1b[0m\rprogress"}, out[:5])
			assert.Equal(t, strings.Repeat("x", 700000), strings.Join(out[5:8], ""))
			assert.Equal(t, "no end", out[8])
			assert.Equal(t, []string{"err € end"}, sink.lines("stderr"))
			left, _ := os.ReadDir(p.spool)
			assert.Empty(t, left, "the spool stays behind")
		})
	}
}

func TestExitCodes(t *testing.T) {
	p := newPlace(t)
	for _, test := range []struct {
		args   []string
		code   int
		signal syscall.Signal
	}{
		{args: []string{"true"}},
		{args: []string{"sh", "-c", "exit 3"}, code: 3},
		{args: []string{"sh", "-c", "kill -TERM $$"}, code: -1, signal: syscall.SIGTERM},
		{args: []string{"sh", "-c", "kill -KILL $$"}, code: -1, signal: syscall.SIGKILL},
		{args: []string{"sh", "-c", "kill -QUIT $$"}, code: -1, signal: syscall.SIGQUIT},
		{args: []string{"sh", "-c", "kill -SEGV $$"}, code: -1, signal: syscall.SIGSEGV},
		{args: []string{"no-such-program-here"}, code: 127},
		{args: []string{"./no/such/program"}, code: 127},
		{args: []string{"/etc/passwd"}, code: 126},
		{args: nil, code: exitOwn},
	} {
		err := p.tailctl(append([]string{"-q", "--"}, test.args...)...).Run()
		assert.Equal(t, test.code, code(t, err), "%v", test.args)
		if test.signal != 0 {
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, test.signal, exit.Sys().(syscall.WaitStatus).Signal(), "%v", test.args)
		}
	}
	assert.Equal(t, exitOwn, code(t, p.tailctl("--bogus", "--", "true").Run()))
	assert.Equal(t, exitOwn, code(t, p.tailctl("--spool-max", "3", "--", "true").Run()))
}

func TestSignalsAreForwardedOnce(t *testing.T) {
	p := newPlace(t)
	// Under nohup SIGHUP is ignored, and a shell can't trap what was ignored when it began; what we take ourselves is not handed on as ignored.
	taken := make(chan os.Signal, 1)
	signal.Notify(taken, syscall.SIGHUP)
	defer signal.Stop(taken)
	// Each signal is counted; the script ends when all have come.
	script := `for s in TERM INT HUP QUIT USR1 USR2; do trap "echo $s" $s; done; echo ready; while :; do sleep 0.02; done`
	cmd := p.tailctl("-q", "--", "sh", "-c", script)
	var out lockedBuffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	want := "ready\n"
	require.Eventually(t, func() bool { return out.String() == want }, wait, tick)
	for _, s := range []struct {
		signal syscall.Signal
		name   string
	}{
		{syscall.SIGTERM, "TERM"}, {syscall.SIGINT, "INT"}, {syscall.SIGHUP, "HUP"}, {syscall.SIGQUIT, "QUIT"},
		{syscall.SIGUSR1, "USR1"}, {syscall.SIGUSR2, "USR2"},
	} {
		require.NoError(t, cmd.Process.Signal(s.signal))
		want += s.name + "\n"
		require.Eventually(t, func() bool { return out.String() == want }, wait, tick, "%q", out.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestEventsOfAServer(t *testing.T) {
	p, sink := newPlace(t), newSink()
	p.collector(t, sink, nil)
	cmd := p.tailctl("--project", "shop", "--deployment", "shop-web", "--server", "web-1", "--label", "region=eu", "--",
		"sh", "-c", `echo "$OTEL_RESOURCE_ATTRIBUTES $OTEL_EXPORTER_OTLP_ENDPOINT $OTEL_SERVICE_NAME"; exit 4`)
	cmd.Env = append(cmd.Env, "OTEL_RESOURCE_ATTRIBUTES=team=a,project.id=other")
	out, err := cmd.Output()
	assert.Equal(t, 4, code(t, err))
	assert.Equal(t, "team=a,project.id=shop,deployment.id=shop-web,server.id=web-1,service.instance.id=web-1,region=eu "+
		"http://localhost:4318 shop-web\n", string(out))
	require.Eventually(t, sink.hasEnded, wait, tick)
	assert.Equal(t, []string{"starting", "running", "exited"}, sink.lifecycle())
	assert.Equal(t, []string{"starting", "healthy", "unhealthy"}, sink.states(identity.EventServerHealth, identity.AttrHealthStatus))
	require.Eventually(t, func() bool {
		return len(sink.states(identity.EventDeploymentStatus, identity.AttrDeploymentStatus)) == 2
	}, wait, tick)
	assert.Equal(t, []string{"running", "failed"}, sink.states(identity.EventDeploymentStatus, identity.AttrDeploymentStatus))
	for _, r := range sink.all() {
		if r.stream == "" {
			continue
		}
		assert.Equal(t, "shop", r.resource[identity.AttrProject])
		assert.Equal(t, "shop-web", r.resource[identity.AttrDeployment])
		assert.Equal(t, "web-1", r.resource[identity.AttrServer])
		assert.Equal(t, "eu", r.resource["region"])
		assert.Equal(t, "sh", r.resource["process.executable.name"])
		assert.Contains(t, r.resource, "process.pid")
	}
}

func TestPhasesOfABuild(t *testing.T) {
	for _, test := range []struct {
		script string
		phase  string
		stop   bool
	}{
		{script: "echo made", phase: "succeeded"},
		{script: "exit 2", phase: "failed"},
		{script: "echo ready; trap 'exit 1' TERM; while :; do sleep 0.02; done", phase: "cancelled", stop: true},
	} {
		p, sink := newPlace(t), newSink()
		p.collector(t, sink, nil)
		cmd := p.tailctl("--build", "b1", "--", "sh", "-c", test.script)
		var out lockedBuffer
		cmd.Stdout = &out
		require.NoError(t, cmd.Start())
		if test.stop {
			require.Eventually(t, func() bool { return out.String() == "ready\n" }, wait, tick)
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		}
		_ = cmd.Wait()
		phases := func() []string { return sink.states(identity.EventBuildStatus, identity.AttrBuildStatus) }
		require.Eventually(t, func() bool { return len(phases()) == 2 }, wait, tick)
		assert.Equal(t, []string{"building", test.phase}, phases())
		assert.Equal(t, "b1", sink.all()[0].resource[identity.AttrBuild])
		assert.Contains(t, sink.all()[0].resource, "process.pid")
	}
}

func TestTCPNeedsTheToken(t *testing.T) {
	p, sink := newPlace(t), newSink()
	address := freeport.Address(t)
	p.collector(t, sink, map[string]any{"tcp": map[string]any{"endpoint": address, "token": "a token of the test"}})
	file := filepath.Join(p.dir, "token")
	for _, test := range []struct {
		token string
		left  bool
	}{{"wrong", true}, {"a token of the test\n", false}} {
		require.NoError(t, os.WriteFile(file, []byte(test.token), 0o600))
		cmd := p.tailctl("--server", "web-1", "--tcp", address, "--token-file", file, "--", "echo", "over tcp")
		cmd.Env = append(cmd.Env, "TAILRACE_SOCKET=")
		var errs bytes.Buffer
		cmd.Stderr = &errs
		require.NoError(t, cmd.Run())
		assert.Equal(t, test.left, strings.Contains(errs.String(), "the next tailctl run sends them"), errs.String())
	}
	// What the first run left was sent by the second one.
	assert.Eventually(t, func() bool { return len(sink.lines("")) == 2 }, wait, tick)
}
