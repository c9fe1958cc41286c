// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func numbers(from, to int) []string {
	var out []string
	for i := from; i <= to; i++ {
		out = append(out, strconv.Itoa(i))
	}
	return out
}

func TestCollectorComesLateAndRestarts(t *testing.T) {
	p, sink := newPlace(t), newSink()
	// The script waits for its cues: files.
	script := `i=0; say() { n=0; while [ $n -lt 1000 ]; do i=$((i+1)); n=$((n+1)); echo $i; done; }
cue() { while ! [ -e ` + p.dir + `/$1 ]; do sleep 0.02; done; }
say; cue a; say; cue b; say; cue c; say`
	cue := func(name string) { require.NoError(t, os.WriteFile(p.dir+"/"+name, nil, 0o600)) }
	count := func(n int) {
		require.Eventually(t, func() bool { return len(sink.lines("")) == n }, wait, tick, "%d lines", n)
	}
	cmd := p.tailctl("--server", "web-1", "--drain-timeout", "30s", "--", "sh", "-c", script)
	var out lockedBuffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	require.Eventually(t, func() bool { return strings.Count(out.String(), "\n") == 1000 }, wait, tick)
	stop := p.collector(t, sink, nil)
	count(1000)
	cue("a")
	count(2000)
	sink.refuse.Store(true) // what comes now is taken by the receiver, and by no pipeline: it is not acknowledged
	refused := sink.calls.Load()
	cue("b")
	require.Eventually(t, func() bool { return sink.calls.Load() > refused }, wait, tick)
	stop()
	sink.refuse.Store(false)
	p.collector(t, sink, nil)
	count(3000)
	cue("c")
	require.NoError(t, cmd.Wait())
	count(4000)
	assert.Equal(t, numbers(1, 4000), sink.lines("stdout"))
	assert.Equal(t, []string{"starting", "running", "exited"}, sink.lifecycle())
	uids := sink.all()
	for i := 1; i < len(uids); i++ {
		assert.Less(t, uids[i-1].uid, uids[i].uid, "the ids restore the order")
	}
	left, _ := os.ReadDir(p.spool)
	assert.Empty(t, left)
}

func TestNextRunSendsWhatAKilledOneLeft(t *testing.T) {
	p, sink := newPlace(t), newSink()
	cmd := p.tailctl("--server", "web-1", "--", "sh", "-c", `echo $$; echo two; printf half; while :; do sleep 0.02; done`)
	var out lockedBuffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return strings.HasSuffix(out.String(), "two\nhalf") }, wait, tick)
	require.Eventually(t, func() bool { return spooled(p, `"text":"two"`) }, wait, tick)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	pid, err := strconv.Atoi(strings.Split(out.String(), "\n")[0])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) }, wait, tick, "the command outlives tailctl")

	p.collector(t, sink, nil)
	require.NoError(t, p.tailctl("--server", "web-2", "--drain-timeout", "30s", "--", "echo", "second").Run())
	require.Eventually(t, func() bool { return len(sink.lines("")) == 3 }, wait, tick)
	assert.ElementsMatch(t, []string{strconv.Itoa(pid), "two", "second"}, sink.lines(""))
	require.Eventually(t, func() bool {
		states := strings.Join(sink.lifecycle(), " ")
		return strings.Contains(states, "unknown") && strings.Contains(states, "exited")
	}, wait, tick)
	require.NoError(t, p.tailctl("--flush").Run()) // nothing left: nothing to do
	left, _ := os.ReadDir(p.spool)
	assert.Empty(t, left)
}

// zombie says whether a process has ended that nobody has waited for.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && bytes.Contains(b, []byte(") Z "))
}

// spooled says whether a text is in a spool.
func spooled(p place, text string) bool {
	runs, _ := os.ReadDir(p.spool)
	for _, run := range runs {
		files, _ := os.ReadDir(p.spool + "/" + run.Name())
		for _, file := range files {
			b, _ := os.ReadFile(p.spool + "/" + run.Name() + "/" + file.Name())
			if bytes.Contains(b, []byte(text)) {
				return true
			}
		}
	}
	return false
}

func TestAFullSpoolDropsTheOldestAndTells(t *testing.T) {
	p, sink := newPlace(t), newSink()
	const total = 60_000
	// 60,000 lines of about 100 bytes as messages, into 1 MiB.
	cmd := p.tailctl("-q", "--server", "web-1", "--spool-max", "1MiB", "--", "seq", "1", strconv.Itoa(total))
	require.NoError(t, cmd.Run())
	p.collector(t, sink, nil)
	require.NoError(t, p.tailctl("-q", "--flush").Run())
	require.Eventually(t, sink.hasEnded, wait, tick)
	lines := sink.lines("")
	missing := int64(0)
	for _, r := range sink.all() {
		if r.event == "server.output_dropped" {
			missing += r.attributes["tailrace.dropped.lines"].(int64)
		}
	}
	assert.Greater(t, len(lines), 1000)
	assert.Equal(t, strconv.Itoa(total), lines[len(lines)-1], "the newest are kept")
	// Beside the lines, the events of starting and running were dropped.
	assert.Equal(t, int64(total+2), missing+int64(len(lines)))
}

func TestWithoutADiskMemoryServes(t *testing.T) {
	p, sink := newPlace(t), newSink()
	require.NoError(t, os.WriteFile(p.spool, nil, 0o600)) // not a folder
	p.collector(t, sink, nil)
	require.NoError(t, p.tailctl("--server", "web-1", "--drain-timeout", "30s", "--", "seq", "1", "5000").Run())
	assert.Equal(t, numbers(1, 5000), sink.lines("stdout"))
}

func TestAStuckPipelineDoesNotStopTheCommand(t *testing.T) {
	p, sink := newPlace(t), newSink()
	sink.refuse.Store(true)
	p.collector(t, sink, map[string]any{"window_bytes": 64 << 10})
	const total = 50_000
	cmd := p.tailctl("-q", "--server", "web-1", "--drain-timeout", "60s", "--", "sh", "-c", fmt.Sprintf("seq 1 %d; echo done >&2", total))
	var errs lockedBuffer
	cmd.Stderr = &errs
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill() }()
	// The command ends although nothing of it was taken.
	require.Eventually(t, func() bool { return errs.String() == "done\n" }, wait, tick)
	assert.Empty(t, sink.all())
	sink.refuse.Store(false)
	require.NoError(t, cmd.Wait())
	assert.Equal(t, numbers(1, total), sink.lines("stdout"))
}

func TestALostRunnerIsTold(t *testing.T) {
	p, sink := newPlace(t), newSink()
	p.collector(t, sink, map[string]any{"lost_after": "50ms"})
	cmd := p.tailctl("--server", "web-1", "--", "sh", "-c", "echo here; while :; do sleep 0.02; done")
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return len(sink.lines("")) == 1 }, wait, tick)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Eventually(t, func() bool { return len(sink.lifecycle()) == 3 }, wait, tick)
	assert.Equal(t, []string{"starting", "running", "unknown"}, sink.lifecycle())
	// It is not told again when the spool is sent.
	require.NoError(t, p.tailctl("-q", "--flush").Run())
	require.NoError(t, p.tailctl("--server", "web-2", "--", "true").Run())
	require.Eventually(t, sink.hasEnded, wait, tick)
	assert.Equal(t, 1, strings.Count(strings.Join(sink.lifecycle(), " "), "unknown"))
}

// Not an assertion on time: `go test -v` shows what this machine does.
func TestThroughput(t *testing.T) {
	p, sink := newPlace(t), newSink()
	p.collector(t, sink, nil)
	const total = 100_000
	start := time.Now()
	cmd := p.tailctl("-q", "--server", "web-1", "--drain-timeout", "60s", "--", "seq", "1", strconv.Itoa(total))
	require.NoError(t, cmd.Run())
	took := time.Since(start)
	require.Eventually(t, func() bool { return len(sink.lines("")) == total }, wait, tick)
	t.Logf("%d lines in %s: %.0f lines/s, from the start of tailctl to the last acknowledgement", total, took, total/took.Seconds())
}
