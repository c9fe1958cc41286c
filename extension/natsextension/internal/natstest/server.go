// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package natstest runs the nats-server of the system for tests.
package natstest

import (
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

// Server is a nats-server on a port that it keeps.
type Server struct {
	Addr string

	tb   testing.TB
	args []string
	cmd  *exec.Cmd
}

// Start runs a server until the test ends. More arguments are its own, such as -js.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	addr := freeport.Address(tb)
	_, port, err := net.SplitHostPort(addr)
	require.NoError(tb, err)
	s := &Server{tb: tb, Addr: addr, args: append([]string{"-a", "127.0.0.1", "-p", port, "-sd", tb.TempDir()}, args...)}
	s.Run()
	tb.Cleanup(s.Kill)
	return s
}

// URL is where clients connect.
func (s *Server) URL() string { return "nats://" + s.Addr }

// Run starts the server, again after a Kill, and waits until it listens.
func (s *Server) Run() {
	s.tb.Helper()
	binary, err := exec.LookPath("nats-server")
	require.NoError(s.tb, err, "install it: apt-get install nats-server")
	s.cmd = exec.Command(binary, s.args...)
	log, err := os.Create(filepath.Join(s.tb.TempDir(), "nats-"+strconv.FormatInt(time.Now().UnixNano(), 10)+".log"))
	require.NoError(s.tb, err)
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	require.NoError(s.tb, s.cmd.Start())
	require.Eventually(s.tb, func() bool {
		conn, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}, 20*time.Second, 10*time.Millisecond, "nats-server does not listen on %s", s.Addr)
}

// Kill ends the server at once.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}
