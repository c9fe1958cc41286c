// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build package

package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/docblocks"
)

// A newcomer on a clean Debian gets by the tutorial's text alone to the first data, and to the end.
func TestTutorial(t *testing.T) {
	all := document(t, "docs/tutorial.md")
	require.Greater(t, len(all), 8)
	follow(t, all)
}

// The guide for systemd is followed on the same Debian; it goes on where a newcomer has installed the packages.
func TestHowToSystemd(t *testing.T) {
	all := document(t, "docs/how-to/systemd.md")
	require.Len(t, all, 4)
	follow(t, all)
}

func document(t *testing.T, name string) []docblocks.Block {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	return docblocks.Read(string(raw))
}

// follow runs the commands of a document on a clean Debian.
func follow(t *testing.T, all []docblocks.Block) {
	t.Helper()
	packages := newest(t)
	r := newRoot(t)
	r.add(packages["tailrace"], packages["tailrace-clickhouse"])
	// One shell for all, as for a person: variables of one block are there in the next one. And it takes a second to read on.
	var script strings.Builder
	for _, b := range all {
		script.WriteString(b.Commands + "\necho; echo '=====' end of block; sleep 1\n")
	}
	began := time.Now()
	outputs := strings.Split(r.run(script.String()), "===== end of block\n")
	require.Len(t, outputs, len(all)+1)
	for i, b := range all {
		for line := range strings.Lines(b.Prints) {
			assert.Contains(t, outputs[i], strings.TrimSpace(line), b.Commands)
		}
	}
	t.Logf("all commands in %s", time.Since(began).Round(time.Second))
}
