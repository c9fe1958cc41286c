// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Every address that is taken is told at once, with the variable that moves it.
func TestPortsInUseAreToldWithTheWayOut(t *testing.T) {
	taken, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	free := map[string]string{"TAILRACE_METRICS_PORT": "0"}
	for _, name := range []string{"TAILRACE_OTLP_GRPC", "TAILRACE_OTLP_HTTP", "TAILRACE_CONSOLE", "TAILRACE_HEALTH"} {
		free[name] = "localhost:0"
	}
	check := func(changed map[string]string) error {
		set, err := loadSettings(func(name string) string {
			if name == "TAILRACE_DATA" {
				return t.TempDir()
			}
			if value, ok := changed[name]; ok {
				return value
			}
			return free[name]
		})
		require.NoError(t, err)
		return checkPorts(set)
	}
	require.NoError(t, check(nil))
	require.NoError(t, check(nil), "nothing stays open")
	err = check(map[string]string{"TAILRACE_OTLP_HTTP": "localhost:" + port, "TAILRACE_METRICS_PORT": port})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2)
	assert.Contains(t, lines[0], port)
	assert.Contains(t, lines[0], "in use")
	assert.Contains(t, lines[0], "stop what listens there (another Tailrace?), or set TAILRACE_OTLP_HTTP to a free address")
	assert.Contains(t, lines[1], "set TAILRACE_METRICS_PORT to a free port")
}
