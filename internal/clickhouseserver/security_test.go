// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// attacks are what someone without the password would try. %FILE% is a file with a secret that may be read,
// %OUT% one that must not appear.
var attacks = []string{
	"SELECT 'in'",
	"SELECT * FROM secrets.t",
	"SELECT * FROM system.tables",
	"SHOW DATABASES",
	"INSERT INTO secrets.t VALUES ('evil')",
	"DROP TABLE secrets.t",
	"CREATE TABLE x (a UInt8) ENGINE = Memory",
	"CREATE TEMPORARY TABLE x ENGINE = Memory AS SELECT * FROM secrets.t",
	"CREATE TEMPORARY TABLE x (s String) ENGINE = File(LineAsString, '%FILE%')",
	"SELECT * FROM file('%FILE%', LineAsString)",
	"SELECT * FROM file('%FILE%', LineAsString) SETTINGS max_sessions_for_user = 0",
	"DESCRIBE TABLE file('%FILE%')",
	"SELECT file('%FILE%')",
	"SELECT 'in' INTO OUTFILE '%OUT%'",
	"INSERT INTO FUNCTION file('%OUT%', LineAsString, 's String') SELECT 'in'",
	"INSERT INTO secrets.t FROM INFILE '%FILE%' FORMAT LineAsString",
	"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
	"SELECT * FROM executable('id', LineAsString, 's String')",
	"SELECT * FROM merge('secrets', '.*')",
	"SELECT * FROM remote('127.0.0.1', 'secrets', 't')",
	"SELECT count() FROM file('-', LineAsString)",
	"SYSTEM STOP LISTEN HTTP",
	"SYSTEM STOP LISTEN TCP",
	"SYSTEM SHUTDOWN",
	"SYSTEM KILL",
	"KILL QUERY WHERE 1 SYNC",
	"BACKUP ALL TO File('%OUT%')",
	"CREATE USER evil",
	"GRANT ALL ON *.* TO default",
	"SET max_sessions_for_user = 0",
	"EXPLAIN SELECT 1",
}

// ways are how someone who knows the protocols would say who they are.
var ways = []struct {
	name    string
	params  url.Values
	headers map[string]string
}{
	{name: "nobody"},
	{name: "default", params: url.Values{"user": {"default"}}},
	{name: "default, no limit", params: url.Values{"user": {"default"}, "max_sessions_for_user": {"0"}, "readonly": {"0"}}},
	{name: "default, a session", params: url.Values{"user": {"default"}, "session_id": {"evil"}, "session_timeout": {"3600"}}},
	{name: "default by header", headers: map[string]string{"X-ClickHouse-User": "default", "X-ClickHouse-Key": ""}},
	{name: "default by Basic", headers: map[string]string{"Authorization": "Basic ZGVmYXVsdDo="}},
	{name: "tailrace without a password", params: url.Values{"user": {DefaultUsername}}},
	{name: "tailrace with a wrong one", params: url.Values{"user": {DefaultUsername}, "password": {"x"}}},
	// What a page can send without the browser asking the server first.
	{name: "a page", headers: map[string]string{"Content-Type": "text/plain;charset=UTF-8", "Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}},
	{name: "a page as default", params: url.Values{"user": {"default"}}, headers: map[string]string{"Content-Type": "text/plain;charset=UTF-8", "Origin": "http://evil.example"}},
}

func TestNothingIsOpenWithoutThePassword(t *testing.T) {
	cfg := testConfig(t)
	s, e := start(t, cfg)
	awaitState(t, s, Ready)
	conn := open(t, cfg, cfg.Username, testPassword)
	for _, q := range []string{"CREATE DATABASE secrets", "CREATE TABLE secrets.t (s String) ENGINE = MergeTree ORDER BY s", "INSERT INTO secrets.t VALUES ('the-secret')"} {
		require.NoError(t, conn.Exec(t.Context(), q))
	}
	dir := t.TempDir()
	file, out := filepath.Join(dir, "secret"), filepath.Join(dir, "out")
	require.NoError(t, os.WriteFile(file, []byte("the-secret\n"), 0o600))
	fill := strings.NewReplacer("%FILE%", file, "%OUT%", out)
	pid := readPid(s.layout.engineLock)

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	ask := func(method string, params url.Values, headers map[string]string, body string) (int, string, http.Header) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.HTTPAddr()+"/?"+params.Encode(), strings.NewReader(body))
		require.NoError(t, err)
		for k, v := range headers {
			req.Header.Set(k, v)
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(text), resp.Header
	}

	// The same requests do work with the password: what follows is refused for the lack of it alone.
	status, text, _ := ask(http.MethodPost, nil, map[string]string{"X-ClickHouse-User": cfg.Username, "X-ClickHouse-Key": testPassword}, "SELECT * FROM secrets.t")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "the-secret\n", text)

	for _, way := range ways {
		for _, attack := range attacks {
			query := fill.Replace(attack)
			status, text, headers := ask(http.MethodPost, way.params, way.headers, query)
			assert.GreaterOrEqual(t, status, 400, "%s: %s: %s", way.name, query, text)
			assert.NotContains(t, text, "the-secret", "%s: %s", way.name, query)
			assert.Empty(t, headers.Get("Access-Control-Allow-Origin"), "%s: %s", way.name, query)
			params := url.Values{"query": {query}}
			for k, v := range way.params {
				params[k] = v
			}
			status, text, _ = ask(http.MethodGet, params, way.headers, "")
			assert.GreaterOrEqual(t, status, 400, "GET %s: %s: %s", way.name, query, text)
			assert.NotContains(t, text, "the-secret")
		}
	}
	for _, path := range []string{"/play", "/dashboard", "/binary", "/merges", "/jemalloc", "/webterminal", "/replicas_status", "/metrics", "/js/uplot.js"} {
		resp, err := client.Get("http://" + s.HTTPAddr() + path)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		assert.Equal(t, http.StatusNotFound, resp.StatusCode, path)
	}
	resp, err := client.Do(must(http.NewRequestWithContext(t.Context(), http.MethodOptions, "http://"+s.HTTPAddr()+"/", http.NoBody)))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))

	// Many at once: the one session of default must not be won by anybody, also for a moment.
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				status, _, _ := ask(http.MethodPost, url.Values{"user": {"default"}}, nil, "SELECT 1")
				assert.GreaterOrEqual(t, status, 400)
			}
		})
	}
	wg.Wait()

	_, err = os.Stat(out)
	assert.ErrorIs(t, err, os.ErrNotExist)
	var rows uint64
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count() FROM secrets.t").Scan(&rows))
	assert.EqualValues(t, 1, rows)
	assert.Equal(t, pid, readPid(s.layout.engineLock), "it was ended by an attack")
	assert.Empty(t, e.errors())
}

// TestNothingIsOpenOnTheNativePort: logins that ClickHouse's local mode would end itself for are refused by the guard.
func TestNothingIsOpenOnTheNativePort(t *testing.T) {
	cfg := testConfig(t)
	s, e := start(t, cfg)
	awaitState(t, s, Ready)
	pid := readPid(s.layout.engineLock)
	for _, login := range [][2]string{{"default", ""}, {"", ""}, {cfg.Username, "x"}, {cfg.Username, ""}, {" INTERSERVER SECRET ", ""}, {" SSH KEY AUTHENTICATION " + cfg.Username, ""}, {" JWT AUTHENTICATION ", "x"}} {
		conn := open(t, cfg, login[0], login[1])
		for _, query := range []string{"SELECT 1", "SELECT * FROM file('/etc/hostname', LineAsString)"} {
			err := conn.Exec(t.Context(), query)
			var exception *clickhouse.Exception
			require.ErrorAs(t, err, &exception, "as %q", login[0])
			assert.EqualValues(t, 516, exception.Code)
		}
		require.NoError(t, conn.Close())
	}
	assert.Equal(t, pid, readPid(s.layout.engineLock))
	assert.Empty(t, e.errors())
}

// TestNothingIsOpenWhileItStarts: the ports open before the boot queries have ended.
func TestNothingIsOpenWhileItStarts(t *testing.T) {
	cfg := testConfig(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(file, []byte("the-secret\n"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				resp, err := client.Post("http://"+net.JoinHostPort(loopback, itoa(cfg.HTTPPort))+"/?user=default", "text/plain",
					strings.NewReader("SELECT * FROM file('"+file+"', LineAsString)"))
				if err != nil {
					continue
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				assert.NotContains(t, string(text), "the-secret")
			}
		})
	}
	for range 5 {
		s, e := start(t, cfg)
		awaitState(t, s, Ready)
		assert.Empty(t, e.errors())
		s.Stop(t.Context())
	}
	cancel()
	wg.Wait()
}

// TestListensOnLoopbackOnly looks at the kernel's table of listening sockets.
func TestListensOnLoopbackOnly(t *testing.T) {
	cfg := testConfig(t)
	s, _ := start(t, cfg)
	awaitState(t, s, Ready)
	inodes := map[string]bool{}
	fds := "/proc/" + itoa(readPid(s.layout.engineLock)) + "/fd"
	entries, err := os.ReadDir(fds)
	require.NoError(t, err)
	for _, entry := range entries {
		if target, err := os.Readlink(filepath.Join(fds, entry.Name())); err == nil && strings.HasPrefix(target, "socket:[") {
			inodes[strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")] = true
		}
	}
	listening := 0
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		for _, line := range strings.Split(string(text), "\n") {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && inodes[f[9]] {
				listening++
				assert.True(t, strings.HasPrefix(f[1], "0100007F:"), f[1])
			}
		}
	}
	assert.Equal(t, 2, listening)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
