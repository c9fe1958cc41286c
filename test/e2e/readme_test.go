// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The worked examples of runner_log are whole configurations; the first one runs as it stands.
func TestWorkedExamplesOfRunnerLog(t *testing.T) {
	p := newProduct(t)
	text, err := os.ReadFile(filepath.Join(p.root, "receiver/runnerlogreceiver/README.md"))
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "\n## Worked examples\n")
	require.True(t, ok)
	section, _, _ = strings.Cut(section, "\n## ")
	var files []string
	for _, block := range strings.Split(section, "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		file := filepath.Join(t.TempDir(), "example.yaml")
		require.NoError(t, os.WriteFile(file, []byte(block), 0o600))
		out, err := exec.Command(p.binary, "validate", "--config", file).CombinedOutput()
		require.NoError(t, err, "%s\n%s", block, out)
		files = append(files, file)
	}
	require.Len(t, files, 2)

	p.configs = []string{files[0], "yaml:service::telemetry::metrics::level: none"}
	p.start()
	p.await(30*time.Second, "healthy", func() error {
		for _, want := range []string{"Body: Str(line 0", "server.port: Int(", "server.health.status: Str(healthy)"} {
			if !strings.Contains(p.logTail(1<<20), want) {
				return errors.New("no " + want)
			}
		}
		return nil
	})
	p.stop()
	require.Contains(t, p.logTail(1<<20), "last words")
	require.Contains(t, p.logTail(1<<20), "server.lifecycle.state: Str(stopped)")
	p.awaitGone(5 * time.Second)
}
