// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeMachine has a PATH of one folder and a running program in another.
type fakeMachine struct{ path, beside string }

func newFakeMachine(t *testing.T) fakeMachine {
	return fakeMachine{path: t.TempDir(), beside: t.TempDir()}
}

func (m fakeMachine) finder() finder {
	return finder{
		executable: func() (string, error) { return filepath.Join(m.beside, "tailrace"), nil },
		lookPath: func(name string) (string, error) {
			if !strings.Contains(name, "/") {
				name = filepath.Join(m.path, name)
			}
			return exec.LookPath(name)
		},
		getenv: func(string) string { return "" },
	}
}

// install writes a program that only knows its version. It stands in for an official ClickHouse.
func install(t *testing.T, dir, name, version string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\necho ClickHouse local version "+version+".\n"), 0o700))
	return path
}

func TestSearchOrder(t *testing.T) {
	m := newFakeMachine(t)
	_, err := m.finder().candidates(Config{})
	require.ErrorContains(t, err, "no ClickHouse found")
	assert.ErrorContains(t, err, "make clickhouse")
	assert.ErrorContains(t, err, "`binary`")

	host := install(t, m.beside, hostName, "26.7.1.1")
	_, err = m.finder().candidates(Config{})
	require.ErrorContains(t, err, "no ClickHouse library at")
	assert.ErrorContains(t, err, "make clickhouse")

	library := filepath.Join(m.beside, libraryName)
	require.NoError(t, os.WriteFile(library, nil, 0o600))
	found, err := m.finder().candidates(Config{})
	require.NoError(t, err)
	assert.Equal(t, []engine{{program: host, library: library}}, found)

	installed := install(t, m.path, "clickhouse", "26.8.1.1")
	found, err = m.finder().candidates(Config{})
	require.NoError(t, err)
	assert.Equal(t, []engine{{program: installed, subcommand: []string{"local"}}, {program: host, library: library}}, found)

	other := filepath.Join(t.TempDir(), "other.so")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	found, err = m.finder().candidates(Config{Library: other})
	require.NoError(t, err)
	assert.Equal(t, []engine{{program: host, library: other}}, found)

	local := install(t, t.TempDir(), "clickhouse-local", "26.8.1.1")
	found, err = m.finder().candidates(Config{Binary: local})
	require.NoError(t, err)
	assert.Equal(t, []engine{{program: local}}, found)

	_, err = m.finder().candidates(Config{Binary: "/nowhere/clickhouse"})
	assert.ErrorContains(t, err, `binary: "/nowhere/clickhouse" can not be run`)
	_, err = m.finder().candidates(Config{Library: "/nowhere/libchdb.so"})
	assert.ErrorContains(t, err, `library: no ClickHouse library at "/nowhere/libchdb.so"`)

	// The host may be on the PATH, too.
	require.NoError(t, os.Remove(host))
	require.NoError(t, os.Remove(installed))
	host = install(t, m.path, hostName, "26.7.1.1")
	found, err = m.finder().candidates(Config{Library: other})
	require.NoError(t, err)
	assert.Equal(t, []engine{{program: host, library: other}}, found)
}

func TestChoiceByVersion(t *testing.T) {
	dir := t.TempDir()
	layout, err := newLayout(t.TempDir())
	require.NoError(t, err)
	getenv := func(string) string { return "" }
	debian := engine{program: install(t, dir, "a", "18.16.1"), subcommand: []string{"local"}}
	current := engine{program: install(t, dir, "b", "26.7.2.1"), subcommand: []string{"local"}}
	mute := engine{program: install(t, dir, "c", "?")}
	library := engine{program: install(t, dir, "d", "26.7.3"), library: filepath.Join(dir, "d")}

	got, err := choose([]engine{current, library}, layout, getenv)
	require.NoError(t, err)
	assert.Equal(t, current, got)
	got, err = choose([]engine{debian, library}, layout, getenv)
	require.NoError(t, err)
	assert.Equal(t, library, got, "too old to listen")
	_, err = choose([]engine{debian}, layout, getenv)
	require.ErrorContains(t, err, "18.16.1, and can not listen: release 26.5 or newer is needed")
	_, err = choose([]engine{mute}, layout, getenv)
	require.ErrorContains(t, err, "does not tell its version")

	// A patch older is fine, a release older is not.
	require.NoError(t, record{Version: "26.7.9.1"}.write(layout.record))
	_, err = choose([]engine{current}, layout, getenv)
	require.NoError(t, err)
	require.NoError(t, record{Version: "26.8.1.1"}.write(layout.record))
	_, err = choose([]engine{current, library}, layout, getenv)
	require.ErrorContains(t, err, "was written by ClickHouse 26.8.1")

	// The engine that wrote it is not asked again.
	require.NoError(t, os.WriteFile(library.library, []byte("#!/bin/sh\nexit 1\n"), 0o700))
	r, err := newRecord(library, "26.8.1.1")
	require.NoError(t, err)
	require.NoError(t, r.write(layout.record))
	_, err = choose([]engine{library}, layout, getenv)
	require.NoError(t, err)
}

func TestArguments(t *testing.T) {
	layout, err := newLayout("/data dir")
	require.NoError(t, err)
	args := engine{subcommand: []string{"local"}}.arguments(layout, Config{TCPPort: 4490, HTTPPort: 2, Password: "secret", Database: "db"}, 1)
	assert.Equal(t, []string{"local", "--config-file=/data dir/config.xml", "--path=/data dir/data", "--log-level=warning",
		"--listen_host=127.0.0.1", "--tcp_port=1", "--http_port=2", "--query",
		"CREATE DATABASE IF NOT EXISTS db; SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT count() FROM file('-', LineAsString)"}, args)
}

func TestEnvironmentIsAllowListed(t *testing.T) {
	env := engine{library: "/lib"}.environment(func(name string) string {
		return map[string]string{"PATH": "/bin", "TAILRACE_CLICKHOUSE_PASSWORD": "secret", "AWS_SECRET_ACCESS_KEY": "secret"}[name]
	})
	assert.Equal(t, []string{"PATH=/bin", libraryEnv + "=/lib"}, env)
}
