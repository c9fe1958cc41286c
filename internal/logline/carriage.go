// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import "strings"

// LastDrawn returns what stands behind the last carriage return of line that something follows: the last state of a
// progress bar, which is drawn over and over within one line. A line without any is returned as it is.
func LastDrawn(line string) string {
	if strings.IndexByte(line, '\r') < 0 {
		return line
	}
	line = strings.TrimRight(line, "\r")
	return line[strings.LastIndexByte(line, '\r')+1:]
}
