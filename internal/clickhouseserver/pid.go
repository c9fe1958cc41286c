// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// writePid replaces the content of a lock file; 0 empties it. A failure only makes a message less helpful
// and a hanging predecessor immortal, which is no reason not to start.
func writePid(lock *os.File, pid int) {
	_ = lock.Truncate(0)
	if pid > 0 {
		_, _ = lock.WriteAt([]byte(strconv.Itoa(pid)+"\n"), 0)
	}
}

// readPid returns 0 when there is none.
func readPid(path string) int {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

func holder(path string) string {
	if pid := readPid(path); pid > 0 {
		return fmt.Sprintf(" (pid %d)", pid)
	}
	return ""
}
