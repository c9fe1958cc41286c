// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// Trees of processes, as programs make them. SLEEP is a program that sleeps; each is found by its argument.
var trees = map[string]struct {
	script string
	sleeps int
}{
	"runs a script":     {`sh -c 'sh -c "SLEEP; true"; true'; true`, 1}, // as npm start does
	"pipe":              {`SLEEP | SLEEP`, 2},
	"ignores":           {`trap '' TERM; SLEEP & SLEEP; wait`, 2},
	"leaves the group":  {`setsid SLEEP & SLEEP`, 2},
	"double fork":       {`setsid sh -c '(SLEEP &) & SLEEP &' & SLEEP`, 3},
	"leaves everything": {`(env -i setsid sh -c 'trap "" TERM HUP; SLEEP & SLEEP' >/dev/null 2>&1 </dev/null &) ; SLEEP`, 3},
}

func init() { children["owner"] = func(string) { ownTrees() } }

// ownTree is the environment variable that holds the argument of the sleeping programs of ownTrees.
const ownTree = "SUPERVISE_TEST_TREE"

func newMark() string {
	return fmt.Sprint(1_000_000+rand.IntN(1_000_000), ".", rand.IntN(1_000_000_000))
}

// treeServers returns a server for each of the trees, and the number of their sleeping programs. Each is called by a name of its own.
func treeServers(mark string) (servers []Server, sleeps int) {
	for name, tree := range trees {
		server := shellServer(name, strings.ReplaceAll(tree.script, "SLEEP", "sleep "+mark))
		server.Name = name
		servers = append(servers, server)
		sleeps += tree.sleeps
	}
	return servers, sleeps
}

// sleeping returns the sleeping programs with a mark.
func sleeping(mark string) []int {
	return find(func(args []string) bool { return slices.Equal(args, []string{"sleep", mark}) })
}

func find(match func(args []string) bool) []int {
	var pids []int
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil || !match(strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		pids = append(pids, pid)
	}
	return pids
}

func requireSleeping(t *testing.T, mark string, count int) {
	t.Cleanup(func() {
		for _, pid := range sleeping(mark) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	require.Eventually(t, func() bool { return len(sleeping(mark)) == count }, 30*time.Second, 10*time.Millisecond,
		"%d processes have to start", count)
}

func guardianOf(s *Supervisor) int {
	s.starter.mu.Lock()
	defer s.starter.mu.Unlock()
	return s.starter.guardian.PID()
}

// ownTrees is the process that is killed: it runs all trees, and prints the pid of its guardian.
func ownTrees() {
	servers, _ := treeServers(os.Getenv(ownTree))
	options := testOptions(servers...)
	options.Owner, options.OrphanGrace, options.GracePeriod = os.Getenv("OWNER"), 300*time.Millisecond, time.Minute
	s := New(options)
	s.Start()
	for s.Stats().Running < int64(len(servers)) {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(guardianOf(s))
	time.Sleep(time.Hour)
}

// startOwner starts this program as ownTrees, and returns when all its processes run.
func startOwner(t *testing.T, name, mark string) (owner *exec.Cmd, guardian int) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childMode + "=owner", ownTree + "=" + mark, "OWNER=" + name, "PATH=" + os.Getenv("PATH")}
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	guardian, err = strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	_, sleeps := treeServers(mark)
	requireSleeping(t, mark, sleeps)
	return cmd, guardian
}

func openFDs(t *testing.T, pid int) int {
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	require.NoError(t, err)
	return len(names)
}

func TestStopEndsWholeTrees(t *testing.T) {
	before := openFDs(t, os.Getpid())
	mark := newMark()
	servers, sleeps := treeServers(mark)
	short := 300 * time.Millisecond
	for i := range servers {
		// These have members that do not end when they are asked.
		if servers[i].Name == "ignores" || servers[i].Name == "leaves everything" {
			servers[i].GracePeriod = &short
		}
	}
	options := testOptions(servers...)
	options.GracePeriod = time.Hour
	sink := &recorder{}
	s := start(t, options, sink)
	requireSleeping(t, mark, sleeps)
	guardian := guardianOf(s)
	require.NoError(t, s.Stop(t.Context()))
	assert.Empty(t, sleeping(mark))
	assert.ErrorIs(t, syscall.Kill(guardian, 0), syscall.ESRCH)
	assert.LessOrEqual(t, openFDs(t, os.Getpid()), before+2, "the poller of the runtime may be new")
	for _, server := range servers {
		end := lastEvent(sink.of(server.Source), Lifecycle)
		assert.Equal(t, StateStopped, end.State, server.Name)
		switch server.Name {
		case "ignores":
			assert.Equal(t, &Exit{Code: -1, Signal: "SIGKILL"}, end.Exit)
		case "leaves everything": // its shell may not end in time on a busy machine
		default:
			assert.Equal(t, &Exit{Code: -1, Signal: "SIGTERM"}, end.Exit, server.Name)
		}
	}
}

// Whatever a process leaves is ended before its successor starts.
func TestAProcessThatEndsTakesItsTreeAlong(t *testing.T) {
	for name, tree := range map[string]struct {
		script string
		sleeps int
	}{
		"group":      {`sleep MARK &`, 1},
		"daemon":     {`(env -i setsid sleep MARK >/dev/null 2>&1 </dev/null &); (setsid sleep MARK &)`, 2},
		"chain":      {`env -i setsid sh -c '(setsid sleep MARK &) & (setsid sh -c "sleep MARK; true" &) &' >/dev/null 2>&1 </dev/null`, 2},
		"that stays": {`trap '' TERM; (env -i setsid sleep MARK >/dev/null 2>&1 </dev/null &)`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			mark, gate := newMark(), filepath.Join(t.TempDir(), "gate")
			server := shellServer("web", strings.ReplaceAll(tree.script, "MARK", mark)+"\nuntil test -e "+gate+"; do sleep 0.01; done")
			options := testOptions(server)
			if name == "that stays" {
				options.GracePeriod = 100 * time.Millisecond
			}
			s := start(t, options, nil)
			requireSleeping(t, mark, tree.sleeps)
			require.NoError(t, os.WriteFile(gate, nil, 0o600))
			s.servers.Wait()
			assert.Empty(t, sleeping(mark))
			assert.NoError(t, syscall.Kill(guardianOf(s), 0), "the guardian goes on")
		})
	}
}

func TestNothingOutlivesAKilledOwner(t *testing.T) {
	mark := newMark()
	owner, guardian := startOwner(t, "", mark)
	require.NoError(t, owner.Process.Kill())
	requireGone(t, guardian) // by itself, and after everything else
	assert.Empty(t, sleeping(mark))
}

func TestWhatAPredecessorLeftIsEndedBeforeTheStart(t *testing.T) {
	name, mark, others, twins := newMark(), newMark(), newMark(), newMark()
	// Another runner, and one of the same name, live beside.
	_, _ = startOwner(t, "another "+name, others)
	_, _ = startOwner(t, name, twins)
	besides := append(sleeping(others), sleeping(twins)...)

	owner, guardian := startOwner(t, name, mark)
	// The owner stands still, so that it does not clean up after its guardian.
	require.NoError(t, owner.Process.Signal(syscall.SIGSTOP))
	require.NoError(t, syscall.Kill(guardian, syscall.SIGKILL))
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()
	requireGone(t, guardian)
	left := sleeping(mark)
	require.NotEmpty(t, left, "the kernel ends the direct children only")

	core, logs := observer.New(zap.InfoLevel)
	options := testOptions(shellServer("web", "exec sleep 1000"))
	options.Owner, options.OrphanGrace, options.Logger = name, 300*time.Millisecond, zap.New(core)
	s := start(t, options, nil)
	require.Eventually(t, func() bool { return s.Stats().Running == 1 }, 30*time.Second, time.Millisecond)
	assert.Empty(t, sleeping(mark), "before the first server starts")
	assert.ElementsMatch(t, besides, append(sleeping(others), sleeping(twins)...))
	told := logs.FilterMessageSnippet("predecessor").All()
	require.Len(t, told, 1)
	for _, pid := range left {
		assert.Contains(t, fmt.Sprint(told[0].ContextMap()["processes"]), fmt.Sprintf("%d (sleep)", pid))
	}
	require.NoError(t, s.Stop(t.Context()))
}

func TestAKilledGuardianIsReplaced(t *testing.T) {
	mark := newMark()
	again := filepath.Join(t.TempDir(), "again")
	web := shellServer("web", fmt.Sprintf(`test -e %[1]s || { touch %[1]s; (env -i setsid sleep %[2]s >/dev/null 2>&1 </dev/null &) ; }; echo ready; sleep %[2]s`, again, mark))
	web.Restart = RestartOnFailure
	once := shellServer("once", "exec sleep 1000")
	core, logs := observer.New(zap.InfoLevel)
	options := testOptions(web, once)
	options.Logger, options.OrphanGrace = zap.New(core), 300*time.Millisecond
	sink := &recorder{}
	s := start(t, options, sink)
	requireSleeping(t, mark, 2)
	require.Eventually(t, func() bool { return s.Stats().Running == 2 }, 30*time.Second, time.Millisecond)
	first := guardianOf(s)
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	require.Eventually(t, func() bool { return s.Stats().Restarts == 1 && s.Stats().Running == 1 }, 30*time.Second, time.Millisecond)
	requireSleeping(t, mark, 1)
	assert.NotEqual(t, first, guardianOf(s))
	entries := sink.of(once.Source)
	assert.Equal(t, "was ended by SIGKILL, because the guardian process had ended", lastEvent(entries, Lifecycle).Reason)
	assert.Equal(t, 1, logs.FilterMessageSnippet("The guardian of the servers' processes has ended").Len())
	assert.Equal(t, 1, logs.FilterMessageSnippet("outlived the guardian").Len())
	require.NoError(t, s.Stop(t.Context()))
	assert.Empty(t, sleeping(mark))
}

func TestManyServersStartAndStop(t *testing.T) {
	mark := newMark()
	var servers []Server
	for i := range 200 {
		servers = append(servers, shellServer(fmt.Sprint("web-", i), "sleep "+mark+"; true"))
	}
	s := start(t, testOptions(servers...), nil)
	requireSleeping(t, mark, len(servers))
	require.NoError(t, s.Stop(t.Context()))
	assert.Empty(t, sleeping(mark))
}
