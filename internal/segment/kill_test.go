// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/segment"
)

// The test binary runs itself as a writer that prints what was acknowledged, until it is killed.
const (
	envWriter = "SEGMENT_TEST_WRITER" // folder
	envRun    = "SEGMENT_TEST_RUN"    // unique prefix of this run's records
	envGroup  = "SEGMENT_TEST_GROUP"
	envZstd   = "SEGMENT_TEST_ZSTD"
)

func runWriterProcess() {
	w, err := segment.OpenWriter(segment.WriterOptions{
		Dir:          os.Getenv(envWriter),
		Group:        os.Getenv(envGroup) != "",
		Zstd:         os.Getenv(envZstd) != "",
		SyncEvery:    3 * time.Millisecond,
		Rotation:     segment.Rotation{MaxBytes: 8 << 10, MaxRecords: 100, MaxAge: 20 * time.Millisecond, Idle: 5 * time.Millisecond},
		MaxOpenFiles: 4,
	})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var out sync.Mutex
	for g := range 3 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%s-%d-%d", os.Getenv(envRun), g, i)
				var parts []segment.Part
				for p := range 1 + rand.IntN(8) { // several files in one batch
					parts = append(parts, part(fmt.Sprint("p", p), fmt.Sprintf("%s-%d%s", id, p, strings.Repeat(" ", rand.IntN(4000)))))
				}
				if err := w.Append(context.Background(), parts); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				out.Lock()
				for p := range parts {
					fmt.Printf("%s-%d\n", id, p)
				}
				out.Unlock()
			}
		}()
	}
	select {}
}

// kill -9 at random points: every acknowledged record is there once, nothing torn, nothing published twice.
func TestKilledWriterLosesNothing(t *testing.T) {
	t.Run("plain", func(t *testing.T) { killedWriter(t, "") })
	t.Run("zstd", func(t *testing.T) { killedWriter(t, "1") })
}

func killedWriter(t *testing.T, zstd string) {
	dir := t.TempDir()
	acked := map[string]bool{}
	for run := range 30 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envWriter+"="+dir, envRun+fmt.Sprint("=", run), envZstd+"="+zstd)
		if run%2 == 0 {
			cmd.Env = append(cmd.Env, envGroup+"=1")
		}
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		after := 1 + rand.IntN(400)
		lines := bufio.NewScanner(stdout)
		for n := 0; lines.Scan(); n++ {
			require.False(t, strings.HasPrefix(lines.Text(), "error"), lines.Text())
			acked[lines.Text()] = true
			if n == after {
				require.NoError(t, cmd.Process.Kill())
			}
		}
		require.Error(t, cmd.Wait(), "it was killed")
	}
	w := open(t, options(dir))
	require.NoError(t, w.Close())
	assert.Empty(t, files(t, dir, ".open"))

	seen := map[string]int{}
	for p := range 8 {
		for _, l := range content(t, dir, fmt.Sprint("p", p)) {
			seen[strings.TrimSpace(l)]++
		}
	}
	require.Greater(t, len(acked), 1000)
	for id := range acked {
		require.Equal(t, 1, seen[id], "acknowledged record %s", id)
	}
	for id, n := range seen {
		require.Equal(t, 1, n, "record %s", id)
	}
	t.Logf("%d acknowledged, %d in the files", len(acked), len(seen))
}
