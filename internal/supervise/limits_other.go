// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package supervise

import (
	"errors"
	"os/exec"
)

func (s *starter) startLimited(cmd *exec.Cmd, rights Rights) error {
	if rights.Umask != nil || rights.OpenFiles != 0 {
		return errors.New("umask, limits::nofile: are known on Linux only")
	}
	return cmd.Start()
}
