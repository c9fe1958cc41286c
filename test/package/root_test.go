// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build package

// Package packages installs what `make package` builds on a clean Debian under its own systemd, as a user would: `make test-package`. It
// needs root, debootstrap, systemd-nspawn and a Debian mirror.
package packages

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const repository = "../.."

// debian is the unpacked Debian that all roots are copies of, made once.
func debian(t *testing.T) string {
	t.Helper()
	require.Zero(t, os.Getuid(), "debootstrap and chroot need root")
	base, err := filepath.Abs(filepath.Join(repository, "_build", "debian"))
	require.NoError(t, err)
	if _, err := os.Stat(base); err == nil {
		return base
	}
	require.NoError(t, os.RemoveAll(base+".new"))
	// curl and sudo are what the tutorial asks for. The others are in every Debian, but must not be fetched later: there is no network in the root.
	run(t, "debootstrap", "--variant=minbase", "--include=adduser,ca-certificates,curl,dbus,init-system-helpers,procps,sudo,systemd,systemd-sysv",
		"bookworm", base+".new") // from debootstrap's own mirror
	require.NoError(t, os.Rename(base+".new", base))
	return base
}

// root is a Debian of its own that has booted, with a network that has nothing but its loopback, so that all default ports are free.
type root struct {
	t    *testing.T
	path string
	init int // the pid of its systemd
}

func newRoot(t *testing.T) *root {
	t.Helper()
	path := filepath.Join(t.TempDir(), "root")
	run(t, "cp", "-a", debian(t), path)
	r := &root{t: t, path: path}
	for name, text := range map[string]string{
		"etc/apt/sources.list": "",
		"etc/resolv.conf":      "",
		"etc/hostname":         "debian\n",
		"etc/hosts":            "127.0.0.1 localhost debian\n::1 localhost\n", // which Debian's installer writes
	} {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte(text), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(path, "root/packages"), 0o755))
	var log bytes.Buffer
	nspawn := exec.Command("systemd-nspawn", "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe",
		"--machine=tailrace-"+fmt.Sprint(os.Getpid()), "--directory="+path)
	nspawn.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // which shuts the Debian down
	nspawn.Stdout, nspawn.Stderr = &log, &log
	require.NoError(t, nspawn.Start())
	exited := make(chan error, 1)
	go func() { exited <- nspawn.Wait() }()
	t.Cleanup(func() {
		if r.init != 0 {
			_ = syscall.Kill(r.init, syscall.SIGKILL) // and with it all in its namespace; systemd-nspawn sees it and ends
		} else {
			_ = nspawn.Process.Kill()
		}
		<-exited
	})
	require.Eventually(t, func() bool {
		child, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", nspawn.Process.Pid, nspawn.Process.Pid))
		pid, _, _ := strings.Cut(string(child), " ")
		comm, _ := os.ReadFile("/proc/" + pid + "/comm")
		if r.init, _ = strconv.Atoi(pid); string(comm) != "systemd\n" {
			return false
		}
		out, _ := r.try("systemctl is-system-running --wait")
		return strings.TrimSpace(out) == "running"
	}, time.Minute, 100*time.Millisecond, "the Debian does not boot")
	return r
}

// command makes a command that runs in the root.
func (r *root) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{
		"--target", strconv.Itoa(r.init), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--",
		"env", "--chdir=/root/packages", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
	}, args...)...)
}

// try runs a command of bash and returns what it prints, errors and all.
func (r *root) try(script string) (string, error) {
	var out bytes.Buffer
	cmd := r.command("bash", "-euo", "pipefail", "-c", script)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// run is try for what must succeed.
func (r *root) run(script string) string {
	r.t.Helper()
	out, err := r.try(script)
	if err != nil {
		log, _ := r.try("journalctl --no-pager -u tailrace | grep -v info | tail -n 30")
		require.NoErrorf(r.t, err, "%s\n%s\nThe service's log ends with:\n%s", script, out, log)
	}
	return out
}

// add puts packages into /root/packages of the root, and nothing else.
func (r *root) add(packages ...string) {
	r.t.Helper()
	r.run("rm -f /root/packages/*.deb")
	for _, p := range packages {
		run(r.t, "cp", p, filepath.Join(r.path, "root/packages"))
	}
}

const ready = "for i in $(seq 300); do if curl -sf -o /dev/null localhost:4400/readyz; then exit; fi; sleep 0.2; done; curl -s localhost:4400/readyz; exit 1"

// run runs a command of this machine and returns what it prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoErrorf(t, err, "%s %v\n%s", name, args, out)
	return string(out)
}
