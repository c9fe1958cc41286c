// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/clickhousetest"
)

// build makes the program without cgo, as it is shipped.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "tailrace-clickhouse")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

func TestProgram(t *testing.T) {
	program := build(t)
	library := libraryEnv + "=" + filepath.Join(clickhousetest.BuildDir(t), "libchdb.so")
	dir := t.TempDir()
	config, users := filepath.Join(dir, "config.xml"), filepath.Join(dir, "users.xml")
	require.NoError(t, os.WriteFile(config, []byte("<clickhouse><users_config>"+users+"</users_config></clickhouse>"), 0o600))
	require.NoError(t, os.WriteFile(users, []byte("<clickhouse><profiles><default/></profiles><users><default><password/></default></users>"+
		"<quotas><default><interval><duration>x</duration></interval></default></quotas></clickhouse>"), 0o600))
	for _, c := range []struct {
		name, env string
		args      []string
		code      int
		want      string
	}{
		{"a mistake in a query is told", library, []string{"--query", "SELECT nonsense"}, 0, "UNKNOWN_IDENTIFIER"},
		{"a start that fails is told", library, []string{"--config-file=" + config, "--query", "SELECT 1"}, 1, "Not a valid integer"},
		{"a version", library, []string{"--version"}, 0, "ClickHouse 2"},
		{"no library", libraryEnv + "=", []string{"--version"}, 1, "run `make clickhouse`"},
		{"a wrong library", libraryEnv + "=" + program, []string{"--version"}, 1, "load " + program},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(program, c.args...)
			cmd.Env = []string{c.env}
			cmd.Dir = t.TempDir()
			out, err := cmd.CombinedOutput()
			assert.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%v", err)
			assert.Contains(t, string(out), c.want)
		})
	}
}
