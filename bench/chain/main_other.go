// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chain: runs on Linux only: it reads processor times from /proc")
	os.Exit(1)
}
