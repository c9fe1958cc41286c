// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package machine says what a comparison ran on.
package machine

import (
	"bufio"
	"os"
	"runtime"
	"strings"
)

// Processor is the name of the processor as Linux knows it, elsewhere its architecture.
func Processor() string {
	if name := Field("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	return runtime.GOARCH
}

// Field is the value of the first line `key: value` of a file below /proc; empty: there is none.
func Field(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Load is the load average of 1, 5 and 15 minutes, as Linux tells it; empty elsewhere.
func Load() string {
	raw, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(raw))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
