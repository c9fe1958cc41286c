// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A reader that is at the end goes on when all was acknowledged and the file was replaced, again and again, in files and in memory.
func TestASpoolGoesOnAfterItsFileWasReplaced(t *testing.T) {
	for _, dir := range []string{t.TempDir(), ""} {
		s := newSpool(dir, 8<<20)
		var at cursor
		text := bytes.Repeat([]byte("x"), 1000)
		for seq := uint64(1); seq <= 2000; seq++ {
			want := appendLine(nil, seq, 1, Stdout, text, 0, false)
			s.append(want, seq, seq)
			got, err := s.read(&at, make([]byte, 100))
			require.NoError(t, err)
			require.Equal(t, string(want), string(got), "message %d", seq)
			s.ack(seq)
			require.False(t, s.pending())
		}
		assert.Less(t, s.bytes, int64(restartBytes+2000), "what was acknowledged is kept")
		s.close()
	}
}
