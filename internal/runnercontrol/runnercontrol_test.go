// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnercontrol

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a runner that remembers what it was asked.
type fake struct {
	mu    sync.Mutex
	calls []string
	err   error
}

func (f *fake) call(parts ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.Join(parts, " "))
	return f.err
}

func (f *fake) Servers() []Server { return nil }
func (f *fake) Builds() []Build   { return []Build{{ID: "b"}} }

func (f *fake) ControlServer(id, action string) error { return f.call("server", id, action) }
func (f *fake) ControlBuild(id, action string) error  { return f.call("build", id, action) }

func (f *fake) WaitServer(ctx context.Context, id string) (Server, error) {
	if id == "slow" {
		<-ctx.Done()
		return Server{ID: id, State: "starting"}, ctx.Err()
	}
	if id == "gone" {
		return Server{}, NewProblem(CodeUnknown, "server %q is not defined", id)
	}
	return Server{ID: id, State: "running", Settled: true}, nil
}

func (f *fake) WaitBuild(_ context.Context, id string) (Build, error) {
	return Build{ID: id, Phase: "succeeded", Settled: true}, nil
}

func (f *fake) PutServer(id string, definition []byte) (bool, error) {
	return id == "new", f.call("put", id, string(definition))
}

func (f *fake) PutBuild(id string, definition []byte) (bool, error) {
	return id == "new", f.call("put build", id, string(definition))
}

func (f *fake) DeleteServer(id string) error { return f.call("delete", id) }
func (f *fake) DeleteBuild(id string) error  { return f.call("delete build", id) }

// folder is short enough for the address of a socket, wherever the folder for tests is.
func folder(t *testing.T) string {
	path, err := os.MkdirTemp("/tmp", "control")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

// serve returns the path of a socket behind which runner is.
func serve(t *testing.T, runner Runner) string {
	path := filepath.Join(folder(t), "s.sock")
	listener, err := Listen(path)
	require.NoError(t, err)
	server := NewServer(runner)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		// It waits for connections that the server lets linger.
		assert.NoError(t, server.Shutdown(context.Background()))
		<-ended
		_, err := os.Lstat(path)
		assert.ErrorIs(t, err, os.ErrNotExist, "the socket goes with its server")
	})
	return path
}

func TestRequestsReachTheRunner(t *testing.T) {
	runner := &fake{}
	client := NewClient(serve(t, runner))
	defer client.Close()
	ctx := t.Context()
	servers, err := client.Servers(ctx)
	require.NoError(t, err)
	assert.Empty(t, servers)
	builds, err := client.Builds(ctx)
	require.NoError(t, err)
	assert.Equal(t, []Build{{ID: "b"}}, builds)
	for _, id := range []string{"web", "a b", "a/b", "ü%2F", "?x#y"} {
		state, err := client.ControlServer(ctx, id, ActionRestart, time.Second)
		require.NoError(t, err)
		assert.Equal(t, Server{ID: id, State: "running", Settled: true}, state)
	}
	_, err = client.ControlBuild(ctx, "b", ActionCancel, 0)
	require.NoError(t, err)
	_, err = client.PutServer(ctx, "new", map[string]int{"a": 1}, 0)
	require.NoError(t, err)
	_, err = client.PutBuild(ctx, "old", map[string]int{"a": 2}, 0)
	require.NoError(t, err)
	require.NoError(t, client.DeleteServer(ctx, "x"))
	require.NoError(t, client.DeleteBuild(ctx, "y"))
	assert.Equal(t, []string{
		"server web restart", "server a b restart", "server a/b restart", "server ü%2F restart", "server ?x#y restart",
		"build b cancel", `put new {"a":1}`, `put build old {"a":2}`, "delete x", "delete build y",
	}, runner.calls)
}

func TestWaitEndsWithItsTime(t *testing.T) {
	client := NewClient(serve(t, &fake{}))
	defer client.Close()
	state, err := client.ControlServer(t.Context(), "slow", ActionStart, 10*time.Millisecond)
	require.NoError(t, err)
	assert.False(t, state.Settled)
	_, err = client.ControlServer(t.Context(), "gone", ActionStart, 0)
	assert.EqualError(t, err, `server "gone" is not defined`)
}

func TestProblems(t *testing.T) {
	runner := &fake{err: errors.New("out of order")}
	path := serve(t, runner)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	for _, test := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{http.MethodGet, "/v1/nothing", "", 404, CodeNotFound},
		{http.MethodGet, "/", "", 404, CodeNotFound},
		{http.MethodDelete, "/v1/servers", "", 405, CodeMethod},
		{http.MethodGet, "/v1/servers/web/start", "", 405, CodeMethod},
		{http.MethodPost, "/v1/servers/web/explode", "", 404, CodeNotFound},
		{http.MethodPost, "/v1/servers/web/start?wait=soon", "", 400, CodeRequest},
		{http.MethodPost, "/v1/builds/b/start?wait=11m", "", 400, CodeRequest},
		{http.MethodPut, "/v1/servers/web?wait=-1s", "", 400, CodeRequest},
		{http.MethodPut, "/v1/servers/web", strings.Repeat("x", maxDefinition+1), 413, CodeTooLarge},
		{http.MethodPost, "/v1/servers/web/start", "", 500, "internal"},
		{http.MethodGet, "/v1/servers/gone", "", 404, CodeUnknown},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "http://runner"+test.path, strings.NewReader(test.body))
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		text, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		_ = response.Body.Close()
		var problem Problem
		require.NoError(t, json.Unmarshal(text, &problem), "%s %s: %s", test.method, test.path, text)
		assert.Equal(t, test.status, response.StatusCode, "%s %s: %s", test.method, test.path, text)
		assert.Equal(t, test.status, problem.Status)
		assert.Equal(t, test.code, problem.Code)
		assert.NotEmpty(t, problem.Detail)
		assert.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
	}
	assert.Equal(t, []string{"server web start"}, runner.calls, "what is refused is not done")
}

func TestWhoMayControl(t *testing.T) {
	require.NoError(t, mayControl(peerOf{uid: 1000}, 1000))
	require.NoError(t, mayControl(peerOf{uid: 0}, 1000))
	require.NoError(t, mayControl(peerOf{err: errors.ErrUnsupported}, 1000))
	require.ErrorContains(t, mayControl(peerOf{uid: 1001}, 1000), "only the user 1000 of the collector and root may control its servers, not 1001")
	require.ErrorContains(t, mayControl(peerOf{uid: 1000}, 0), "only the user 0")
	require.ErrorContains(t, mayControl(peerOf{err: io.EOF}, 1000), "could not be found out")
}

func TestTheSocketIsForItsOwnerOnly(t *testing.T) {
	path := serve(t, &fake{})
	info, err := os.Lstat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = os.Lstat(path + madeSuffix)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestListen(t *testing.T) {
	at := filepath.Join(folder(t), "s.sock")
	first, err := Listen(at)
	require.NoError(t, err)
	_, err = Listen(at)
	require.ErrorContains(t, err, "somebody listens on "+at+" already")
	// One that was left behind is replaced, and its former owner leaves the new one alone.
	first.(*socket).Listener.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, first.(*socket).Listener.Close())
	second, err := Listen(at)
	require.NoError(t, err)
	_ = first.Close()
	conn, err := net.Dial("unix", at)
	require.NoError(t, err)
	_ = conn.Close()
	require.NoError(t, second.Close())
	_, err = os.Lstat(at)
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.WriteFile(at, []byte("mine"), 0o600))
	_, err = Listen(at)
	require.ErrorContains(t, err, "exists and is not a socket")
	text, err := os.ReadFile(at)
	require.NoError(t, err)
	assert.Equal(t, "mine", string(text))

	open := folder(t)
	require.NoError(t, os.Chmod(open, 0o777))
	_, err = Listen(filepath.Join(open, "s.sock"))
	require.ErrorContains(t, err, "can be written to by others (mode 0777)")
	require.NoError(t, os.Chmod(open, 0o777|os.ModeSticky))
	sticky, err := Listen(filepath.Join(open, "s.sock"))
	require.NoError(t, err)
	require.NoError(t, sticky.Close())
	_, err = Listen(filepath.Join(open, "none", "s.sock"))
	require.ErrorContains(t, err, "the folder of the socket")
	_, err = Listen(filepath.Join(at, "s.sock"))
	require.ErrorContains(t, err, "the folder of the socket")
	_, err = Listen("/tmp/" + strings.Repeat("x", 100))
	require.ErrorContains(t, err, "must have at most 95 bytes")
	require.Error(t, ValidateSocket(""))
	require.Error(t, ValidateSocket("a\x00b"))
}

func TestTheClientSaysWhatToDo(t *testing.T) {
	at := filepath.Join(folder(t), "s.sock")
	client := NewClient(at)
	defer client.Close()
	_, err := client.Servers(t.Context())
	require.ErrorContains(t, err, "there is no socket "+at+": is the collector running, and has its runner the key `control: {socket: "+at+"}`?")
	listener, err := net.Listen("unix", at)
	require.NoError(t, err)
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	_, err = client.Servers(t.Context())
	require.ErrorContains(t, err, "nobody listens on "+at)
}

func TestErrorOfADefinitionIsALineForEachKey(t *testing.T) {
	problem := NewProblem(CodeInvalid, "not valid")
	problem.Errors = []string{"a: x", "b: y"}
	assert.EqualError(t, problem, "not valid:\n  a: x\n  b: y")
	assert.Equal(t, 500, NewProblem("other", "").Status)
}
