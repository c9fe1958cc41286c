// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tailrace/tailrace/internal/supervise/cgroup"
)

func shellServer(id, script string) Server {
	server := testServer(id, "")
	server.Command = []string{"/bin/sh", "-c", script}
	server.Env = []string{"PATH=/usr/bin:/bin"}
	return server
}

func TestUserAndGroup(t *testing.T) {
	nobody, err := user.Lookup("nobody")
	require.NoError(t, err)
	script := `id -u; id -g; echo $HOME; echo $USER; awk '/^Groups/ {print NF - 1}' /proc/self/status`
	for _, test := range []struct {
		rights Rights
		want   []string
	}{
		{Rights{User: "nobody"}, []string{nobody.Uid, nobody.Gid, nobody.HomeDir, "nobody"}},
		{Rights{User: nobody.Uid, Group: "0"}, []string{nobody.Uid, "0", nobody.HomeDir, "nobody"}},
		{Rights{User: "54321", Group: "54322"}, []string{"54321", "54322", "", "", "0"}},
		{Rights{Group: "54322"}, []string{fmt.Sprint(os.Geteuid()), "54322", "", "", "0"}},
	} {
		server := shellServer("web-1", script)
		server.Dir = "/"
		server.Rights = test.rights
		entries := run(t, server)
		if os.Geteuid() != 0 {
			if test.rights.User == "nobody" { // which we may be
				continue
			}
			assert.Contains(t, lastEvent(entries, Lifecycle).Reason, "only root may start a server as another user")
			continue
		}
		got := lines(output(entries, Stdout))
		require.Len(t, got, 5, "%+v %v", test.rights, lines(entries))
		assert.Equal(t, test.want, got[:len(test.want)], "%+v", test.rights)
	}
}

func TestUnknownUserAndGroup(t *testing.T) {
	for want, rights := range map[string]Rights{
		"user: user: unknown user no-such-user":                {User: "no-such-user"},
		"group: group: unknown group no-such-group":            {Group: "no-such-group"},
		"user: 54321 has no entry, so that `group` is needed":  {User: "54321"},
		"user: user: unknown user -1":                          {User: "-1", Group: "0"},
		"group: group: unknown group 99999999999999999999":     {Group: "99999999999999999999"},
		"group: group: unknown group no-such-group-for-number": {User: "54321", Group: "no-such-group-for-number"},
	} {
		_, err := rights.account()
		assert.ErrorContains(t, err, want)
	}
}

func TestUserAsWeAre(t *testing.T) {
	server := shellServer("web-1", "id -u")
	server.Rights.User = fmt.Sprint(os.Geteuid())
	server.Rights.Group = fmt.Sprint(os.Getegid())
	assert.Equal(t, []string{fmt.Sprint(os.Geteuid())}, lines(output(run(t, server), Stdout)))
}

func TestUmaskIsThatOfTheChildOnly(t *testing.T) {
	ours := unix.Umask(0o022)
	defer unix.Umask(ours)
	folder := t.TempDir()
	masked, plain := shellServer("masked", `umask; touch `+folder+`/masked`), shellServer("plain", "umask")
	mask := 0o077
	masked.Rights.Umask = &mask
	sink := &recorder{}
	s := start(t, testOptions(masked, plain), sink)
	s.servers.Wait()
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, []string{"0077"}, lines(output(sink.of(masked.Source), Stdout)))
	assert.Equal(t, []string{"0022"}, lines(output(sink.of(plain.Source), Stdout)))
	info, err := os.Stat(filepath.Join(folder, "masked"))
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	assert.Equal(t, 0o022, unix.Umask(0o022), "ours stays")
}

func TestLimitOfOpenFiles(t *testing.T) {
	server := shellServer("web-1", "ulimit -Sn; ulimit -Hn; exit 3")
	server.Rights.OpenFiles = 123
	mask := 0o027
	server.Rights.Umask = &mask
	entries := run(t, server)
	assert.Equal(t, []string{"123", "123"}, lines(output(entries, Stdout)))
	assert.Equal(t, 3, lastEvent(entries, Lifecycle).Exit.Code)
}

func TestALimitThatIsRefusedIsAFailedStart(t *testing.T) {
	server := shellServer("web-1", "echo runs")
	server.Rights.OpenFiles = 1 << 62 // more than fs.nr_open
	entries := run(t, server)
	event := lastEvent(entries, Lifecycle)
	assert.Equal(t, StateFailed, event.State)
	assert.Contains(t, event.Reason, "command: limits::nofile: prlimit: operation not permitted")
	assert.Empty(t, output(entries, Stdout))
}

func TestALimitedServerIsStoppedAsAnyOther(t *testing.T) {
	server := testServer("web-1", "polite")
	server.Rights.OpenFiles = 200
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	waitFor(t, sink, server.Source, "ready")
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, []string{"last words"}, lines(output(sink.of(server.Source), Stderr)))
}

// groupsOfMemory lists the control groups of guardians, and says whether this machine lets us make any.
func groupsOfMemory(t *testing.T) (groups []string, ok bool) {
	t.Helper()
	parent, err := cgroup.Find("")
	if err != nil {
		return nil, false
	}
	probe, err := parent.Create(fmt.Sprintf("probe-%d", os.Getpid()), 1<<30)
	if err != nil {
		return nil, false
	}
	require.NoError(t, probe.Remove())
	parent.Sweep(func(name string) bool {
		if strings.HasPrefix(name, "tailrace-") {
			groups = append(groups, name)
		}
		return false
	})
	return groups, true
}

// A server that takes more memory than it may, with its children, meets the kernel; it says why, and nothing is left of its group.
func TestLimitOfMemory(t *testing.T) {
	server := shellServer("web-1", `echo runs; (x=0123456789abcdef; while :; do x=$x$x; done) & wait $!; echo "child $?"; exit 7`)
	server.Rights.Memory = 48 << 20
	server.Rights.OpenFiles = 100
	before, ok := groupsOfMemory(t)
	entries := run(t, server)
	event := lastEvent(entries, Lifecycle)
	if !ok {
		assert.Equal(t, StateFailed, event.State)
		assert.Contains(t, event.Reason, "command: limits::memory: ")
		assert.Empty(t, output(entries, Stdout))
		return
	}
	assert.Equal(t, StateExited, event.State)
	assert.Contains(t, event.Reason, ", because the kernel had killed a process of it at limits::memory (48MiB)")
	assert.Equal(t, "runs", lines(output(entries, Stdout))[0])
	after, _ := groupsOfMemory(t)
	assert.Equal(t, before, after)
}

func TestAServerBelowItsLimitOfMemoryIsAsAnyOther(t *testing.T) {
	server := testServer("web-1", "polite")
	server.Rights.Memory = 512 << 20
	before, ok := groupsOfMemory(t)
	if !ok {
		assert.Equal(t, StateFailed, lastEvent(run(t, server), Lifecycle).State)
		return
	}
	sink := &recorder{}
	s := start(t, testOptions(server), sink)
	waitFor(t, sink, server.Source, "ready")
	during, _ := groupsOfMemory(t)
	assert.Len(t, during, len(before)+1)
	require.NoError(t, s.Stop(t.Context()))
	assert.Equal(t, []string{"last words"}, lines(output(sink.of(server.Source), Stderr)))
	assert.NotContains(t, lastEvent(sink.of(server.Source), Lifecycle).Text, "limits::memory")
	after, _ := groupsOfMemory(t)
	assert.Equal(t, before, after)
}

func TestALimitOfMemoryWithoutAControlGroupIsAFailedStart(t *testing.T) {
	server := shellServer("web-1", "echo runs")
	server.Rights.Memory, server.Rights.Cgroup = 1<<30, "/proc"
	entries := run(t, server)
	event := lastEvent(entries, Lifecycle)
	assert.Equal(t, StateFailed, event.State)
	assert.Contains(t, event.Reason, "command: limits::memory: /proc is not a control group for memory")
	assert.Empty(t, output(entries, Stdout))
}

// A guardian that is killed can't remove the groups that it made: the next one does, and makes its own.
func TestTheGroupsOfAKilledGuardianAreRemoved(t *testing.T) {
	before, ok := groupsOfMemory(t)
	server := shellServer("web-1", "echo ready; sleep 1000")
	server.Restart, server.Rights.Memory = RestartOnFailure, 512<<20
	if !ok {
		server.Restart = RestartNever
		assert.Equal(t, StateFailed, lastEvent(run(t, server), Lifecycle).State)
		return
	}
	options := testOptions(server)
	options.Owner, options.OrphanGrace = t.TempDir(), 100*time.Millisecond
	sink := &recorder{}
	s := start(t, options, sink)
	waitFor(t, sink, server.Source, "ready")
	require.NoError(t, syscall.Kill(guardianOf(s), syscall.SIGKILL))
	require.Eventually(t, func() bool { return s.Stats().Restarts == 1 && s.Stats().Running == 1 }, patience, time.Millisecond)
	during, _ := groupsOfMemory(t)
	assert.Len(t, during, len(before)+1, "that of the new process only")
	require.NoError(t, s.Stop(t.Context()))
	after, _ := groupsOfMemory(t)
	assert.Equal(t, before, after)
}
