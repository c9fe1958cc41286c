// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCountFailed(t *testing.T) {
	base := t.TempDir()
	files, bytes, err := CountFailed(base, Logs)
	require.NoError(t, err)
	assert.Zero(t, files+bytes)
	for name, content := range map[string]string{
		"logs/shop/failed/a+0.jsonl": "12345", "logs/shop/failed/a+0.reasons.ndjson": "1", "log/old/failed/b.jsonl": "123",
		"logs/shop/c.jsonl": "1", "logs/shop/processed/d.jsonl": "1", "spans/shop/failed/e.jsonl": "1", "logs/shop/failed/f.jsonl.zst": "12",
	} {
		path := filepath.Join(base, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	files, bytes, err = CountFailed(base, Logs)
	require.NoError(t, err)
	assert.EqualValues(t, 3, files)
	assert.EqualValues(t, 10, bytes)
}
