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
)

// block is a block of commands of a document, and what it says that they print.
type block struct{ commands, prints string }

// blocks reads the ```sh blocks of a document, and the ```text block that may follow each.
func blocks(document string) []block {
	var all []block
	var kind string
	for line := range strings.Lines(document) {
		fence, isFence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case isFence && kind != "":
			kind = ""
		case isFence:
			kind = fence
			if kind == "sh" {
				all = append(all, block{})
			}
		case kind == "sh":
			all[len(all)-1].commands += line
		case kind == "text":
			all[len(all)-1].prints += line
		}
	}
	return all
}

// A newcomer on a clean Debian gets by the tutorial's text alone to the first data, and to the end.
func TestTutorial(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(repository, "docs/tutorial.md"))
	require.NoError(t, err)
	all := blocks(string(raw))
	require.Greater(t, len(all), 8)

	packages := newest(t)
	r := newRoot(t)
	r.add(packages["tailrace"], packages["tailrace-clickhouse"])
	// One shell for all, as for a person: variables of one block are there in the next one. And it takes a second to read on.
	var script strings.Builder
	for _, b := range all {
		script.WriteString(b.commands + "\necho; echo '=====' end of block; sleep 1\n")
	}
	began := time.Now()
	outputs := strings.Split(r.run(script.String()), "===== end of block\n")
	require.Len(t, outputs, len(all)+1)
	for i, b := range all {
		for line := range strings.Lines(b.prints) {
			assert.Contains(t, outputs[i], strings.TrimSpace(line), b.commands)
		}
	}
	t.Logf("all commands in %s", time.Since(began).Round(time.Second))
}
