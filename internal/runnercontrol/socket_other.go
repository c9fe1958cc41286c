// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package runnercontrol

import (
	"fmt"
	"os"
)

func checkFolder(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("the folder of the socket: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the folder of the socket: %s is not a folder", path)
	}
	return nil
}
