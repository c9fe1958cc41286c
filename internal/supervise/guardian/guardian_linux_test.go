// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func begin(t *testing.T) *Guardian {
	g, err := Start(Options{Grace: time.Second})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, g.Close()) })
	return g
}

// shell runs a script; its output is read with the function returned.
func shell(t *testing.T, g *Guardian, script string) (*Process, func() string) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	p, err := g.Start(Command{
		Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin", "A=\xff", Variable + "=of our own parent"},
		Stdout: w, Stderr: w, StopSignal: syscall.SIGTERM, Grace: time.Second,
	})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return p, func() string {
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		return string(text)
	}
}

func end(t *testing.T, p *Process) {
	require.NoError(t, p.End(syscall.SIGTERM, time.Minute))
	<-p.Exited()
}

func alive(pid int) bool { p, ok := (&procfs{}).stat(pid); return ok && !p.zombie }

func TestAProcessSaysHowItEnded(t *testing.T) {
	g := begin(t)
	p, output := shell(t, g, `printf '%s %s' "$A" "$TAILRACE_RUN"; exit 7`)
	<-p.Exited()
	assert.Equal(t, 7, p.Status().Wait.ExitStatus())
	assert.Equal(t, "\xff "+g.id.mark(1), output(), "values need not be UTF-8")
	end(t, p)
	p, _ = shell(t, g, `kill -SEGV $$`)
	<-p.Exited()
	assert.Equal(t, syscall.SIGSEGV, p.Status().Wait.Signal())
	assert.False(t, p.Status().Lost)
	end(t, p)
}

func TestErrorsOfTheStartCanBeRecognised(t *testing.T) {
	g := begin(t)
	notExecutable := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(notExecutable, []byte("#!/bin/sh\n"), 0o600))
	noFormat := filepath.Join(t.TempDir(), "format")
	require.NoError(t, os.WriteFile(noFormat, []byte("\x00"), 0o700))
	for path, want := range map[string]syscall.Errno{
		"/no/such/program": syscall.ENOENT, notExecutable: syscall.EACCES, noFormat: syscall.ENOEXEC,
	} {
		p, err := g.Start(Command{Path: path, Args: []string{path}, Stdout: os.Stdout, Stderr: os.Stderr})
		require.ErrorIs(t, err, want)
		assert.EqualError(t, err, "fork/exec "+path+": "+want.Error(), "as os/exec says it")
		assert.Nil(t, p)
	}
}

func TestOneTreeEndsAndTheOthersGoOn(t *testing.T) {
	g := begin(t)
	// The daemons have left the group, the session, the parent and the environment.
	const daemon = `env -i setsid sh -c 'sh -c "echo \$PPID; exec sleep 1000 >/dev/null 2>&1"' & wait`
	one, outputOfOne := shell(t, g, daemon)
	two, outputOfTwo := shell(t, g, "("+daemon+")& sleep 1000")
	pid := func(output func() string, p *Process) int {
		done := make(chan string, 1)
		go func() { done <- output() }()
		var found int
		require.Eventually(t, func() bool {
			procs, err := (&procfs{}).all()
			require.NoError(t, err)
			for _, q := range procs {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", q.pid))
				if m := (&procfs{}).tag(q); m.id == g.id && m.tree == p.tree && q.group != p.PID && string(name) == "sleep\x001000\x00" {
					found = q.pid
				}
			}
			return found != 0
		}, 30*time.Second, 10*time.Millisecond)
		t.Cleanup(func() { <-done })
		return found
	}
	ofOne, ofTwo := pid(outputOfOne, one), pid(outputOfTwo, two)
	end(t, one)
	assert.False(t, alive(ofOne))
	assert.True(t, alive(ofTwo))
	assert.True(t, alive(two.PID))
	require.NoError(t, syscall.Kill(two.PID, syscall.SIGKILL))
	<-two.Exited()
	assert.True(t, alive(ofTwo), "a tree is ended when it is asked for")
	end(t, two)
	assert.False(t, alive(ofTwo))
}

func TestCloseEndsWhatStillRuns(t *testing.T) {
	g, err := Start(Options{Grace: 100 * time.Millisecond})
	require.NoError(t, err)
	ready := filepath.Join(t.TempDir(), "ready")
	p, output := shell(t, g, `trap '' TERM; echo ready | tee `+ready+`; exec sleep 1000`)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && len(text) > 0
	}, 30*time.Second, time.Millisecond)
	require.NoError(t, g.Close())
	<-p.Exited()
	assert.Equal(t, syscall.SIGKILL, p.Status().Wait.Signal())
	assert.Equal(t, "ready\n", output())
	_, err = g.Start(Command{Path: "/bin/true", Args: []string{"true"}, Stdout: os.Stdout, Stderr: os.Stdout})
	require.ErrorIs(t, err, ErrLost)
	require.NoError(t, p.End(syscall.SIGTERM, 0))
	require.NoError(t, g.Close())
}

func TestTheGuardianIsDeafAndItsChildrenAreNot(t *testing.T) {
	g := begin(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1} {
		require.NoError(t, syscall.Kill(-g.PID(), signal), "it leads a group")
	}
	p, output := shell(t, g, `grep -E 'SigIgn|SigBlk' /proc/self/status; cat /proc/$PPID/comm; ulimit -n`)
	<-p.Exited()
	got := strings.Fields(output())
	require.Len(t, got, 6)
	assert.Equal(t, "tailrace-guardi", got[4], "the kernel keeps 15 bytes")
	own, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, ignored, _ := strings.Cut(string(own), "SigIgn:")
	assert.Equal(t, strings.Fields(ignored)[0], got[3], "as of a child of our own")
	assert.Equal(t, "0000000000000000", got[1])
	end(t, p)
	session, err := unix.Getsid(g.PID())
	require.NoError(t, err)
	assert.Equal(t, g.PID(), session)
}

func TestNoFileIsLeaked(t *testing.T) {
	// What we have inherited ourselves is not closed on exec.
	inherited, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD, 50)
	require.NoError(t, err)
	g := begin(t)
	require.NoError(t, unix.Close(inherited))
	count := func(pid int) int {
		names, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		require.NoError(t, err)
		for _, name := range names {
			fd, _ := strconv.Atoi(name.Name())
			assert.True(t, pid == os.Getpid() || fd < 50)
		}
		return len(names)
	}
	run := func() {
		p, output := shell(t, g, `ls /proc/self/fd`)
		<-p.Exited()
		assert.Equal(t, "0\n1\n2\n3\n", output(), "3 is the folder itself")
		end(t, p)
		_, err := g.Start(Command{Path: "/no/such/program", Args: []string{"x"}, Stdout: os.Stdout, Stderr: os.Stdout})
		require.Error(t, err)
	}
	run()
	for range 20 {
		run()
	}
	// The three of any process, the socket, and what the poller of the runtime needs.
	require.Eventually(t, func() bool { return count(g.PID()) <= 8 }, 30*time.Second, time.Millisecond, "%d", count(g.PID()))
	g.mu.Lock()
	defer g.mu.Unlock()
	assert.Empty(t, g.waiting)
	assert.Empty(t, g.trees)
}

func TestACommandMayBeLargerThanAPacket(t *testing.T) {
	g := begin(t)
	command := Command{Path: "/bin/sh", Args: []string{"sh", "-c", `echo ${#B}`}, Dir: t.TempDir(), Stderr: os.Stderr}
	for i := range 10 {
		command.Env = append(command.Env, fmt.Sprintf("%c=%s", 'A'+i, strings.Repeat("x", 100_000)))
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	command.Stdout = w
	p, err := g.Start(command)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "100000\n", string(text))
	end(t, p)
}

func TestAProcessIsKnownByItsVariableWhereItHasNoTag(t *testing.T) {
	w := &ward{id: id{name: 1, instance: 2}, self: os.Getpid()}
	sleep := func(env string) proc {
		cmd := exec.Command("/bin/sleep", "1000")
		cmd.Env, cmd.SysProcAttr = []string{env}, &syscall.SysProcAttr{Setpgid: true}
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		p, ok := (&procfs{}).stat(cmd.Process.Pid)
		require.True(t, ok)
		return p
	}
	direct, variable, other, none := sleep("A=b"), sleep(Variable+"="+w.mark(5)), sleep(Variable+"="+id{name: 1, instance: 3}.mark(5)), sleep("A=b")
	w.trees = map[int]*tree{7: {number: 7, pid: direct.pid, group: direct.pid}, 8: {number: 8, group: none.pid}}
	w.byPID = map[int]*tree{direct.pid: w.trees[7]}
	for range 2 { // the second time from memory
		assert.Equal(t, map[int][]proc{7: {direct}, 5: {variable}, 0: {other}, 8: {none}}, w.attribute([]proc{direct, variable, other, none}))
	}
}

func TestASignalReachesOnlyTheProcessThatWasSeen(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "1000")
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	var fs procfs
	p, ok := fs.stat(cmd.Process.Pid)
	require.True(t, ok)
	another := p
	another.started--
	require.NoError(t, fs.signal(another, syscall.SIGKILL))
	assert.True(t, alive(p.pid))
	require.NoError(t, fs.signal(p, syscall.SIGKILL))
	require.Eventually(t, func() bool { return !alive(p.pid) }, 30*time.Second, time.Millisecond)
	require.NoError(t, fs.signal(p, syscall.SIGKILL), "it is gone")
}

func TestOrphansOfNobody(t *testing.T) {
	ended, err := EndOrphans("nobody is called so", syscall.SIGTERM, time.Second)
	require.NoError(t, err)
	assert.Empty(t, ended)
}

func TestMarks(t *testing.T) {
	i := id{name: nameOf("some owner"), instance: 0xfffe}
	for _, tree := range []int{0, 1, 300, maxTree} {
		m, ok := parseMark(i.mark(tree))
		assert.True(t, ok)
		assert.Equal(t, mark{i, tree}, m)
		tag := i.tag(tree)
		m, ok = parseTag([]byte(fmt.Sprintf("Limit  Soft Limit Hard Limit Units\nMax file locks            %d %d locks     \nMax pending signals 1 1 signals\n", tag.Cur, tag.Max)))
		assert.True(t, ok)
		assert.Equal(t, mark{i, tree}, m)
	}
	own, err := os.ReadFile("/proc/self/limits")
	require.NoError(t, err)
	_, ok := parseTag(own)
	assert.False(t, ok, "%s", own)
	for _, limits := range []string{"", "Max file locks", "Max file locks 1", "Max file locks 1 65535", "Max file locks unlimited unlimited locks", "Max file locks 65535 65535 locks"} {
		m, ok := parseTag([]byte(limits))
		assert.Equal(t, limits == "Max file locks 1 65535", ok, "%s: %v", limits, m)
	}
	for _, text := range []string{"", "of our own parent", "1-2-3", "00000001-0002-", "00000001-0002-70000", "zzzzzzzz-0002-3", "ffffffff-0002-3"} {
		_, ok := parseMark(text)
		assert.False(t, ok, text)
	}
}

func FuzzProcFiles(f *testing.F) {
	for _, name := range []string{"stat", "limits"} {
		text, err := os.ReadFile("/proc/self/" + name)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Add([]byte("Max file locks 1 65535"))
	f.Add([]byte("00000001-0002-3"))
	f.Add([]byte(")(1 (x) S"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parseStat(text)
		if m, ok := parseTag(text); ok {
			assert.LessOrEqual(t, m.tree, maxTree)
		}
		if m, ok := parseMark(string(text)); ok {
			again, ok := parseMark(m.mark(m.tree))
			assert.True(t, ok)
			assert.Equal(t, m, again)
		}
	})
}

// BenchmarkStart is the start of a process and the end of its tree; next to it the same with os/exec.
func BenchmarkStart(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(b, err)
	defer null.Close()
	b.Run("guardian", func(b *testing.B) {
		g, err := Start(Options{})
		require.NoError(b, err)
		defer g.Close()
		started := time.Duration(0)
		for b.Loop() {
			before := time.Now()
			p, err := g.Start(Command{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Stdout: null, Stderr: null})
			require.NoError(b, err)
			started += time.Since(before)
			require.NoError(b, p.End(syscall.SIGKILL, 0))
		}
		b.ReportMetric(float64(started.Microseconds())/float64(b.N), "µs/start")
	})
	b.Run("direct", func(b *testing.B) {
		started := time.Duration(0)
		for b.Loop() {
			cmd := &exec.Cmd{Path: "/bin/sleep", Args: []string{"sleep", "1000"}, Env: []string{}, Stdout: null, Stderr: null}
			before := time.Now()
			require.NoError(b, cmd.Start())
			started += time.Since(before)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		b.ReportMetric(float64(started.Microseconds())/float64(b.N), "µs/start")
	})
}
