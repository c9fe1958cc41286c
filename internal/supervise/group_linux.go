// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C on the terminal reaches
// only us, and has the kernel kill it when the thread that started it ends: that is, with our process.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// onlyZombies says whether nobody in a group is alive: members that have ended stay until their parent
// waits for them, and the init process of many containers never does.
func onlyZombies(pgid int) bool {
	all := processes()
	for _, p := range all {
		if p.group == pgid && !p.zombie {
			return false
		}
	}
	return len(all) > 0 // else /proc can't be read
}
