// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is reserved ahead is given back when the segment is complete.
func TestReservedSpaceIsGivenBack(t *testing.T) {
	dir := t.TempDir()
	w := open(t, options(dir))
	line := strings.Repeat("x", 600<<10)
	add(t, w, part("p", line+"\n"+line))
	add(t, w, part("p", "a\nb"))
	require.NoError(t, w.Close())
	info, err := os.Stat(filepath.Join(dir, files(t, dir, ".jsonl")[0]))
	require.NoError(t, err)
	used := info.Sys().(*syscall.Stat_t).Blocks * 512
	assert.Less(t, used, info.Size()+128<<10, "of %d bytes", info.Size())
}
