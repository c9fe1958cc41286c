// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhouseserver/guard"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

const (
	clusterName = "tailrace"
	user        = clickhousetest.User
	password    = clickhousetest.Password
)

// node is one ClickHouse of the cluster.
type node struct {
	shard, replica    int
	port, interserver int
	command           clickhousetest.Command

	t     testing.TB
	cmd   *exec.Cmd
	in    io.Closer
	log   *bytes.Buffer
	parts *http.Server
	guard *guard.Guard
}

// inner is where the processes listen. Before each stands what stands before an embedded one, under the address that
// remote_servers has: `clickhouse local`, unlike a server, ends itself when a connection is reset, as other nodes reset theirs when they
// have read enough.
const inner = "127.0.0.2"

func (n *node) String() string { return fmt.Sprintf("shard %d replica %d", n.shard, n.replica) }
func (n *node) addr() string   { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.port)) }

// nodes are two shards of two replicas, in the order of their shards.
type nodes []*node

var library string

// startCluster runs ZooKeeper and four nodes.
func startCluster(t testing.TB) nodes {
	t.Helper()
	resolved, err := filepath.EvalSymlinks(filepath.Join(clickhousetest.BuildDir(t), "libchdb.so"))
	require.NoError(t, err)
	library = resolved
	zookeeper := startZooKeeper(t)
	var all nodes
	for shard := 1; shard <= 2; shard++ {
		for replica := 1; replica <= 2; replica++ {
			all = append(all, &node{t: t, shard: shard, replica: replica, port: freeport.For(t), interserver: freeport.For(t)})
		}
	}
	for _, n := range all {
		n.configure(zookeeper, all)
		n.start()
		t.Cleanup(n.kill)
	}
	for _, n := range all {
		n.wait()
	}
	return all
}

func (n *node) configure(zookeeper int, all nodes) {
	n.t.Helper()
	var shards strings.Builder
	for i, other := range all {
		if i%2 == 0 {
			shards.WriteString("<shard><internal_replication>true</internal_replication>\n")
		}
		fmt.Fprintf(&shards, "<replica><host>127.0.0.1</host><port>%d</port><user>%s</user><password>%s</password></replica>\n", other.port, user, password)
		if i%2 == 1 {
			shards.WriteString("</shard>\n")
		}
	}
	n.command = clickhousetest.Command{
		Build: clickhousetest.BuildDir(n.t), Dir: n.t.TempDir(), User: user, Password: password, LogLevel: "warning", Host: inner, TCPPort: n.port,
		Config: fmt.Sprintf(`<mark_cache_size>67108864</mark_cache_size><max_server_memory_usage>3000000000</max_server_memory_usage>
<background_schedule_pool_size>16</background_schedule_pool_size><background_fetches_pool_size>4</background_fetches_pool_size>
<zookeeper><node><host>127.0.0.1</host><port>%d</port></node><session_timeout_ms>3000</session_timeout_ms><sessions_path>/clickhouse/sessions/%[2]d-%[3]d</sessions_path></zookeeper>
<macros><shard>%[2]d</shard><replica>%[3]d</replica></macros>
<remote_servers><%[4]s>
%[5]s</%[4]s></remote_servers>`, zookeeper, n.shard, n.replica, clusterName, shards.String()),
	}
}

// start runs the process, on the same folder and ports each time, and does not wait.
func (n *node) start() {
	n.t.Helper()
	cmd, err := n.command.Prepare()
	require.NoError(n.t, err)
	n.log = &bytes.Buffer{}
	cmd.Stderr = n.log
	n.cmd = cmd
	in, err := n.cmd.StdinPipe()
	require.NoError(n.t, err)
	n.in = in
	require.NoError(n.t, n.cmd.Start())
	giveAddress(n.t, n.cmd.Process.Pid, n.interserver)

	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n.interserver)))
	require.NoError(n.t, err)
	n.parts = &http.Server{Handler: &partSender{n.open()}, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = n.parts.Serve(listener) }()
}

// wait returns when the node answers.
func (n *node) wait() {
	n.t.Helper()
	backend := net.JoinHostPort(inner, strconv.Itoa(n.port))
	conn := connect(n.t, backend)
	defer conn.Close()
	require.Eventually(n.t, func() bool { return conn.Ping(context.Background()) == nil }, 60*time.Second, 20*time.Millisecond, "%s does not answer: %s", n, n.log)
	n.guard = guard.New(guard.Config{Username: user, Password: password, DatabaseExists: func(context.Context, string) (bool, error) { return true, nil }})
	require.NoError(n.t, n.guard.Listen(n.addr()))
	n.guard.Open(backend)
}

// kill ends the node with SIGKILL, as a crash does.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	if n.guard != nil {
		n.guard.StopAccepting()
		n.guard.Close()
		n.guard = nil
	}
	_ = n.in.Close()
	_ = n.parts.Close()
	_ = n.parts.Handler.(*partSender).conn.Close()
	if n.t.Failed() {
		n.t.Logf("%s said at last:\n%s", n, lastWords(n.log.String()))
	}
	n.cmd = nil
}

// lastWords leaves out the frames of stacks.
func lastWords(log string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if strings.Contains(line, "<Error>") || strings.Contains(line, "<Fatal>") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-15):], "")
}

func (n *node) open() driver.Conn { return connect(n.t, n.addr()) }

func connect(t testing.TB, addrs ...string) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: addrs, Auth: clickhouse.Auth{Username: user, Password: password}, DialTimeout: 5 * time.Second})
	require.NoError(t, err)
	return conn
}

// conn returns a connection that is closed with the test.
func (n *node) conn() driver.Conn {
	conn := n.open()
	n.t.Cleanup(func() { _ = conn.Close() })
	return conn
}
