// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	mountsV1 = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	mountsV2 = `25 23 0:21 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
`
	mountsContainer = `36 31 0:33 /docker/0a1b /sys/fs/cgroup/memory\040of\040it ro - cgroup cgroup rw,memory
`
)

func TestFind(t *testing.T) {
	for name, test := range map[string]struct {
		mounts, own string
		want        Parent
	}{
		"version 1":              {mountsV1, "9:cpu,cpuacct:/a\n4:memory:/user.slice/x\n0::/b\n", Parent{path: "/sys/fs/cgroup/memory/user.slice/x"}},
		"version 2":              {mountsV2, "0::/system.slice/tailrace.service\n", Parent{path: "/sys/fs/cgroup/system.slice/tailrace.service", v2: true}},
		"the root":               {mountsV2, "0::/\n", Parent{path: "/sys/fs/cgroup", v2: true}},
		"a part of the tree":     {mountsContainer, "4:memory:/docker/0a1b/init\n", Parent{path: "/sys/fs/cgroup/memory of it/init"}},
		"with a colon":           {mountsV2, "0::/a:b\n", Parent{path: "/sys/fs/cgroup/a:b", v2: true}},
		"without memory":         {mountsV1, "9:cpu:/a\n", Parent{}},
		"outside of what we see": {mountsContainer, "4:memory:/docker/other\n", Parent{}},
		"above what we see":      {mountsV2, "0::/../other\n", Parent{path: "/sys/fs/cgroup/other", v2: true}},
		"nothing":                {"", "", Parent{}},
		"nonsense":               {"- - -\n\n1 2\n", "::\n:\n", Parent{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := find([]byte(test.mounts), []byte(test.own))
			if test.want == (Parent{}) {
				require.ErrorContains(t, err, "no control groups for memory")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

// A folder stands for a group of version 2: its files are what the kernel would show.
func TestVersion2(t *testing.T) {
	folder := t.TempDir()
	put := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	get := func(name string) string {
		text, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		return string(text)
	}
	_, err := Find(folder)
	require.ErrorContains(t, err, folder+" is not a control group for memory")
	put("cgroup.controllers", "cpu memory")
	p, err := Find(folder)
	require.NoError(t, err)
	require.Equal(t, Parent{path: folder, v2: true}, p)

	_, err = p.Create("tailrace-1", 64<<20)
	require.ErrorContains(t, err, "the memory of groups below can't be limited")
	require.ErrorContains(t, err, "DelegateSubgroup=collector")
	put("cgroup.subtree_control", "cpu")
	_, err = p.Create("tailrace-1", 64<<20) // the folder has none of the kernel's files
	require.ErrorContains(t, err, "memory.max")
	assert.Equal(t, "+memory", get("cgroup.subtree_control"))
	assert.NoDirExists(t, filepath.Join(folder, "tailrace-1"), "what can't be limited is not left")

	put("cgroup.subtree_control", "cpu memory")
	assert.True(t, p.enabled())
	g := &Group{path: folder, v2: true}
	put("memory.max", "max")
	require.NoError(t, g.limit(64<<20), "memory.oom.group need not exist")
	assert.Equal(t, "67108864", strings.TrimPrefix(get("memory.max"), "max"))
	put("memory.oom.group", "0")
	require.NoError(t, g.limit(64<<20))
	assert.Equal(t, "1", get("memory.oom.group"))
	put("cgroup.procs", "")
	require.NoError(t, g.Add(123))
	assert.Equal(t, "123", get("cgroup.procs"))
	assert.False(t, g.Killed())
	put("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\noom_group_kill 0\n")
	assert.False(t, g.Killed())
	put("memory.events", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n")
	assert.True(t, g.Killed())
}

func TestSweepRemovesOnlyWhatIsStaleAndEmpty(t *testing.T) {
	folder := t.TempDir()
	for _, name := range []string{"stale-1", "stale-2", "other", "stale-3/used"} {
		require.NoError(t, os.MkdirAll(filepath.Join(folder, name), 0o700))
	}
	Parent{path: folder}.Sweep(func(name string) bool { return strings.HasPrefix(name, "stale-") })
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(folder, "other"), filepath.Join(folder, "stale-3")}, left)
}

// On a machine that lets us make groups: the kernel kills at the limit. On any other the error says what to do.
func TestTheKernelKillsAtTheLimit(t *testing.T) {
	p, err := Find("")
	if err != nil {
		require.ErrorContains(t, err, "no control groups for memory")
		return
	}
	name := fmt.Sprintf("tailrace-test-%d", os.Getpid())
	g, err := p.Create(name, 32<<20)
	if err != nil {
		require.ErrorContains(t, err, "guardian::cgroup")
		return
	}
	defer func() {
		require.Eventually(t, func() bool { return g.Remove() == nil }, 5*time.Second, time.Millisecond)
		require.NoError(t, g.Remove(), "one that is gone")
	}()
	cmd := exec.Command("sh", "-c", `read go; x=0123456789abcdef; while :; do x=$x$x; done`)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, g.Add(cmd.Process.Pid))
	assert.False(t, g.Killed())
	_, err = stdin.Write([]byte("go\n"))
	require.NoError(t, err)
	require.ErrorContains(t, cmd.Wait(), "killed")
	assert.True(t, g.Killed())
	_, err = p.Create(name, 1<<20)
	require.NoError(t, err, "an empty one is replaced")
}

func FuzzFind(f *testing.F) {
	f.Add(mountsV1, "4:memory:/x\n0::/\n")
	f.Add(mountsV2, "0::/system.slice\n")
	f.Add(mountsContainer, "4:memory:/docker/0a1b/init\n")
	f.Fuzz(func(t *testing.T, mounts, own string) {
		if p, err := find([]byte(mounts), []byte(own)); err == nil && p.path == "" {
			t.Fatal("no path and no error")
		}
	})
}
