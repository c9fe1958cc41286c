// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"strings"
	"testing"
)

func TestLastDrawn(t *testing.T) {
	for line, want := range map[string]string{
		"": "", "plain": "plain", "10 %\r20 %\r100 %": "100 %", "10 %\r20 %\r": "20 %", "\r\rdone\r\r": "done", "\r\r": "", "a\rb": "b",
	} {
		if got := LastDrawn(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzLastDrawn(f *testing.F) {
	f.Add("10 %\r20 %\r")
	f.Add("\r\r")
	f.Fuzz(func(t *testing.T, line string) {
		want := ""
		for _, state := range strings.Split(line, "\r") {
			if state != "" {
				want = state
			}
		}
		if got := LastDrawn(line); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}
