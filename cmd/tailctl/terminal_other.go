// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

import "os"

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
