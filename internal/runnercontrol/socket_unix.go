// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package runnercontrol

import (
	"fmt"
	"os"
)

const (
	othersWrite = 0o022
)

// checkFolder refuses a folder in which others could put a socket of theirs.
func checkFolder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("the folder of the socket: %w; make it, with a mode such as 0700", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the folder of the socket: %s is not a folder", path)
	}
	if info.Mode().Perm()&othersWrite != 0 && info.Mode()&os.ModeSticky == 0 {
		return fmt.Errorf("the folder of the socket: %s can be written to by others (mode %04o), who could replace the socket; chmod go-w, or choose another one",
			path, info.Mode().Perm())
	}
	return nil
}
