// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
)

const envHolder = "TAILRACE_TEST_INGEST_HOLDER"

// TestHolder is another process that uses a folder; on its own it does nothing.
func TestHolder(t *testing.T) {
	dir := os.Getenv(envHolder)
	if dir == "" {
		return
	}
	s := newStore()
	s.answer(fmt.Errorf("time-out"), true)
	o := options(dir, s)
	o.StatePath = os.Getenv(envHolder + "_STATE")
	_, err := ingest.Start(o)
	require.NoError(t, err)
	eventually(t, func() bool { return len(s.tries()) > 0 }, "sent")
	fmt.Println("token", s.tries()[0].token)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
}

func holder(t *testing.T, dir, state string) (token string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHolder$")
	cmd.Env = append(os.Environ(), envHolder+"="+dir, envHolder+"_STATE="+state)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = in.Close()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, _ := fmt.Sscanf(lines.Text(), "token %s", &token); n == 1 {
			return token, kill
		}
	}
	kill()
	t.Fatal("the process has ended")
	return "", nil
}

func TestAnotherCollectorStandsByAndTakesOverWhatWasUnanswered(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, want := lines("a", 20)
	put(t, dir, "logs/p/1.jsonl.open", text)
	token, kill := holder(t, dir, "")
	e := start(t, options(dir, s))
	assert.False(t, e.Active())
	assert.Zero(t, e.Pending("logs"))
	never := start(t, options(t.TempDir(), s)) // another folder does not wait
	assert.True(t, never.Active())

	third := start(t, options(dir, s)) // it never gets its turn
	require.NoError(t, third.Shutdown(context.Background(), 0))
	assert.Empty(t, s.tries(), "nothing is sent while the other one lives")

	kill()
	loaded(t, s, want...)
	assert.True(t, e.Active())
	assert.Equal(t, token, s.tries()[0].token, "the same batch under the same token")
}

func TestAStateThatIsElsewhereIsNotTakenOver(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	put(t, dir, "logs/p/1.jsonl.open", line("a"))
	_, kill := holder(t, dir, filepath.Join(t.TempDir(), "state"))
	e := start(t, options(dir, s))
	eventually(t, func() bool { return s.ills() == 1 }, "told")
	require.ErrorContains(t, s.lastHealth(), "give both the same state_path")
	kill()
	eventually(t, func() bool { return s.ills() == 1 }, "once")
	assert.False(t, e.Active())
	assert.Empty(t, s.tries())
}

func (s *store) ills() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.health)
}
