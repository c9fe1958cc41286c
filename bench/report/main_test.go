// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyWhatStandsBetweenTheLinesIsReplaced(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	require.NoError(t, os.WriteFile(page, []byte("by hand\n<!-- bench:a -->\nold\n<!-- /bench:a -->\nmore\n<!-- bench:b -->\n<!-- /bench:b -->\n"), 0o600))
	require.NoError(t, insert(page, "a", "new\n"))
	require.NoError(t, insert(page, "b", "b\n"))
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.Equal(t, "by hand\n<!-- bench:a -->\nnew\n<!-- /bench:a -->\nmore\n<!-- bench:b -->\nb\n<!-- /bench:b -->\n", string(raw))
	require.ErrorContains(t, insert(page, "c", "x"), "bench:c")
}

// Every comparison has its place in the page.
func TestThePageHasThePlaces(t *testing.T) {
	raw, err := os.ReadFile("../../docs/benchmarks.md")
	require.NoError(t, err)
	for _, c := range comparisons {
		assert.Contains(t, string(raw), "<!-- bench:"+c.name+" -->\n")
		assert.Contains(t, string(raw), "<!-- /bench:"+c.name+" -->\n")
	}
}

func TestAComparisonThatFailsSaysSo(t *testing.T) {
	_, err := comparison{name: "x", folder: ".", args: []string{"sh", "-c", "exit 3"}}.run(t.TempDir(), 1)
	require.Error(t, err)
	p, err := comparison{name: "x", folder: ".", args: []string{"sh", "-c", `echo "| a |"; echo '{"n":1}' > {json}`}}.run(t.TempDir(), 1)
	require.NoError(t, err)
	assert.Equal(t, "| a |", p.Output)
	assert.JSONEq(t, `{"n":1}`, string(p.Figures))
}
