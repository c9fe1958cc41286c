// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"os/exec"
	"syscall"
)

func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func start(cmd *exec.Cmd) error { return cmd.Start() }
