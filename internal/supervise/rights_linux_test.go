// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
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
