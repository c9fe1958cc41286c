// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHostileLinesCostThemselvesOnly(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	hostile := []string{
		"\x00\x01\xff\xfe binary", strings.Repeat("[", 50_000), strings.Repeat(`{"a":`, 10_000), `{"resourceLogs":5}`,
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":{}}]}]}]}`, `{"resourceSpans":[{}]}`, "null", `"text"`,
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"`, "{}", "\xef\xbb\xbf{}",
	}
	text := ""
	var want []string
	for i, h := range hostile {
		text += h + "\n\n \r\n" + line(fmt.Sprint("good", i))
		want = append(want, fmt.Sprint("good", i))
	}
	put(t, dir, "logs/p/1.jsonl.open", text+`{"torn`)
	start(t, options(dir, s))
	loaded(t, s, want...)
	eventually(t, func() bool { return s.count(s.failed, "unreadable") == len(hostile) }, "in failed/")
	assert.Equal(t, strings.Join(hostile, "\n")+"\n", read(t, filepath.Join(dir, "logs/p/failed/1+0.jsonl")), "as they stood there")
}

func TestALineThatDoesNotFitIntoMemoryIsPassedOver(t *testing.T) {
	const size = 1 << 30
	dir, s := t.TempDir(), newStore()
	name := put(t, dir, "logs/p/1.jsonl.tmp", line("before"))
	require.NoError(t, os.Truncate(name, size)) // zeros, which take no room on the disk
	put(t, dir, "logs/p/1.jsonl.tmp", "\n"+line("after"))
	age(t, name)
	require.NoError(t, os.Rename(name, filepath.Join(dir, "logs/p/1.jsonl")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start(t, options(dir, s))
	require.Eventually(t, func() bool { return s.count(s.failed, "too_long") == 1 }, 5*time.Minute, 10*time.Millisecond)
	runtime.ReadMemStats(&after)
	loaded(t, s, "before", "after")
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(size/2), "it was never held")
	info, err := os.Stat(filepath.Join(dir, "logs/p/failed/1+0.jsonl"))
	require.NoError(t, err)
	assert.EqualValues(t, size-len(line("before"))+1, info.Size())
}

func TestTheNameIsTheSegment(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, want := lines("same", 3)
	age(t, put(t, dir, "logs/p/1.jsonl", text))
	require.NoError(t, os.Link(filepath.Join(dir, "logs/p/1.jsonl"), filepath.Join(dir, "logs/p/2.jsonl")))
	start(t, options(dir, s))
	loaded(t, s, append(want, want...)...) // two names are two segments, each loaded once
	eventually(t, func() bool {
		return isFile(filepath.Join(dir, "logs/p/processed/1.jsonl")) && isFile(filepath.Join(dir, "logs/p/processed/2.jsonl"))
	}, "moved")
}

func TestASegmentThatIsDeletedOrMovedAwayWhileItIsReadDoesNotStopOthers(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, want := lines("a", 5000)
	gone := put(t, dir, "logs/p/1.jsonl.open", text)
	away := put(t, dir, "logs/q/1.jsonl.open", strings.ReplaceAll(text, `"a`, `"b`))
	start(t, options(dir, s))
	eventually(t, func() bool { return len(s.uids()) > 0 }, "begun")
	require.NoError(t, os.Remove(gone))
	require.NoError(t, os.Rename(away, filepath.Join(dir, "elsewhere")))
	put(t, dir, "logs/r/1.jsonl.open", line("other"))
	eventually(t, func() bool { return strings.Contains(strings.Join(s.uids(), " "), "other") }, "goes on")
	seen := map[string]bool{}
	for _, uid := range s.uids() {
		assert.False(t, seen[uid], "%s twice", uid)
		seen[uid] = true
	}
	assert.LessOrEqual(t, len(seen), 2*len(want)+1)
}

func TestASmallProjectDoesNotWaitForABigOne(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	text, _ := lines("big", 20_000)
	age(t, put(t, dir, "logs/a-big/1.jsonl", text))
	for p := range 100 {
		put(t, dir, fmt.Sprintf("logs/small%d/1.jsonl.open", p), line(fmt.Sprintf("small%d", p)))
	}
	start(t, options(dir, s))
	eventually(t, func() bool { return strings.Count(strings.Join(s.uids(), " "), "small") == 100 }, "the small ones")
	s.mu.Lock()
	defer s.mu.Unlock()
	last := 0
	for i, unit := range s.units {
		if strings.Contains(strings.Join(unit, " "), "small") {
			last = i
		}
	}
	assert.Less(t, last, 6, "in one of the first batches of a thousand")
}

func TestManyProjectsThatTrickleShareBatches(t *testing.T) {
	dir, s := t.TempDir(), newStore()
	o := options(dir, s)
	o.Limits.MaxDelay = 250 * time.Millisecond
	start(t, o)
	n := 0
	for round := range 4 {
		for p := range 250 {
			put(t, dir, fmt.Sprintf("logs/p%d/1.jsonl.open", p), line(fmt.Sprintf("%d-%d", round, p)))
			n++
		}
		eventually(t, func() bool { return len(s.uids()) == n }, "fresh")
	}
	assert.Less(t, len(s.tries()), n/10, "not an insert for each project")
}
