// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/freeport"
)

const zookeeperJar = "/usr/share/java/zookeeper.jar"

// startZooKeeper runs Debian's ZooKeeper for as long as the test, and returns its port.
func startZooKeeper(t testing.TB) int {
	t.Helper()
	require.FileExists(t, zookeeperJar, "ZooKeeper is missing: apt-get install zookeeper")
	java, err := exec.LookPath("java")
	require.NoError(t, err, "Java is missing: apt-get install default-jre-headless")
	dir, port := t.TempDir(), freeport.For(t)
	config := filepath.Join(dir, "zoo.cfg")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `tickTime=500
dataDir=%s
clientPort=%d
clientPortAddress=127.0.0.1
admin.enableServer=false
maxClientCnxns=0
4lw.commands.whitelist=ruok
`, filepath.Join(dir, "data"), port), 0o600))
	var log bytes.Buffer
	cmd := exec.Command(java, "-Xmx256m", "-XX:+UseSerialGC", "-cp", zookeeperJar, "org.apache.zookeeper.server.ZooKeeperServerMain", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("ZooKeeper said: %s", log.String())
		}
	})
	require.Eventually(t, func() bool { return answers(port) }, 30*time.Second, 50*time.Millisecond, "ZooKeeper does not answer")
	return port
}

func answers(port int) bool {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, "ruok")
	said, _ := io.ReadAll(conn)
	return string(said) == "imok"
}
