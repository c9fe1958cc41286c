// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/ingest"
)

// life loads a folder that holds something of everything, with a fault; then goes on without. It returns how many file
// operations the first part did.
func life(t *testing.T, fault func(n int64, op, path string) error, what func() string) int64 {
	t.Helper()
	dir, s := t.TempDir(), newStore()
	age(t, put(t, dir, "logs/p/1.jsonl", line("a")+"{bad\n"+line("b")))
	put(t, dir, "logs/p/2.jsonl.open", line("c"))
	age(t, put(t, dir, "logs/q/1.jsonl.zst", frame(t, line("d"))+frame(t, line("e")+"{bad too\n")))
	age(t, put(t, dir, "logs/q/2.jsonl", line("loaded before")))
	put(t, dir, "logs/q/processed/2.jsonl", line("loaded before"))
	s.setRefuse(refuse(errRefused, "poison"))
	age(t, put(t, dir, "log/r/1.jsonl", line("f")+line("poison")+line("g")))
	want := []string{"a", "b", "c", "d", "e", "f", "g"}

	o := options(dir, s)
	o.Limits.PollInterval = 20 * time.Millisecond
	o.Limits.JournalBytes = 1 // a new journal again and again
	var calls atomic.Int64
	o.Fault = func(op, path string) error { return fault(calls.Add(1), op, path) }
	e, err := ingest.Start(o)
	if err == nil {
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end) && len(s.uids()) < len(want); {
			time.Sleep(time.Millisecond)
		}
		open := filepath.Join(dir, "logs/p/2.jsonl.open")
		require.NoError(t, os.Rename(open, strings.TrimSuffix(open, ".open")))
		_ = e.Shutdown(t.Context(), time.Second) // an error is of the last write to a journal that is given up
	}
	n := calls.Load()

	o.Fault = nil
	e, err = ingest.Start(o)
	require.NoError(t, err, what())
	if open := filepath.Join(dir, "logs/p/2.jsonl.open"); isFile(open) {
		require.NoError(t, os.Rename(open, strings.TrimSuffix(open, ".open")))
	}
	eventually(t, func() bool {
		left, _ := filepath.Glob(filepath.Join(dir, "log*", "*", "*.jsonl*"))
		return len(left) == 0
	}, "all moved: "+what())
	stop(t, e)
	require.ElementsMatch(t, want, s.uids(), what())
	failed := map[string]int{}
	names, err := filepath.Glob(filepath.Join(dir, "log*", "*", "failed", "*.jsonl"))
	require.NoError(t, err)
	for _, name := range names {
		for _, l := range strings.Split(strings.TrimSuffix(read(t, name), "\n"), "\n") {
			failed[l]++
		}
	}
	assert.Equal(t, map[string]int{"{bad": 1, "{bad too": 1, strings.TrimSpace(line("poison")): 1, strings.TrimSpace(line("loaded before")): 1},
		failed, what())
	for token, sent := range s.sent() {
		assert.Len(t, sent, 1, "one content under %s: %s", token, what())
	}
	left, err := filepath.Glob(filepath.Join(dir, "log*", "*", "*", "*.tmp"))
	require.NoError(t, err)
	assert.Empty(t, left, what())
	return n
}

// Every file operation on every file fails, once the first time and once the second, with errors in turn; a write that fails has written
// half. What the poll does again and again counts no further.
func TestEveryFileOperationFailsOnce(t *testing.T) {
	errs := []error{syscall.ENOSPC, syscall.EIO, syscall.EMFILE, syscall.EACCES, syscall.EROFS}
	type call struct {
		what string // operation and file
		nth  int
	}
	var mu sync.Mutex
	var calls []call
	counts := map[string]int{}
	life(t, func(_ int64, op, path string) error {
		mu.Lock()
		defer mu.Unlock()
		what := op + " " + path[strings.Index(path, "/001")+4:]
		if counts[what]++; counts[what] <= 2 {
			calls = append(calls, call{what, counts[what]})
		}
		return nil
	}, func() string { return "no fault" })
	require.Greater(t, len(calls), 60)
	t.Log("faults:", len(calls))
	for i, c := range calls {
		err := errs[i%len(errs)]
		t.Run(fmt.Sprintf("%s %d %v", c.what, c.nth, err), func(t *testing.T) {
			t.Parallel()
			var n atomic.Int64
			life(t, func(_ int64, op, path string) error {
				if !strings.HasSuffix(path, c.what[strings.IndexByte(c.what, ' ')+1:]) || !strings.HasPrefix(c.what, op+" ") || n.Add(1) != int64(c.nth) {
					return nil
				}
				return err
			}, func() string { return fmt.Sprint(c, err) })
		})
	}
}

// Each kind of operation fails for a while, all of them.
func TestAKindOfFileOperationFailsForAWhile(t *testing.T) {
	for _, op := range []string{"open", "mkdir", "rename", "remove", "stat", "readdir", "syncdir", "write", "read", "sync", "close"} {
		t.Run(op, func(t *testing.T) {
			var hits atomic.Int64
			life(t, func(n int64, got, _ string) error {
				if got != op || n < 12 { // it has to start
					return nil
				}
				hits.Add(1)
				return errors.New("injected")
			}, func() string { return op })
			if !slices.Contains([]string{"remove"}, op) { // nothing is removed on the way
				assert.Positive(t, hits.Load())
			}
		})
	}
}
