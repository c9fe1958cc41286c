// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package supervise

import "syscall"

// childAttributes puts a child into a process group of its own, so that Ctrl-C on the terminal reaches
// only us. There is no parent-death signal here: children outlive a killed collector.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// onlyZombies: orphans are waited for by launchd or init at once.
func onlyZombies(int) bool { return false }

// attributes are those of a child of this account.
func (a account) attributes() *syscall.SysProcAttr {
	attributes := childAttributes()
	attributes.Credential = a.credential
	return attributes
}
