// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command tailctl is the companion command line of Tailrace.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	root := &cobra.Command{Use: "tailctl", Short: "The companion command line of Tailrace", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(newServersCommand(), newBuildsCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "tailctl:", err)
		os.Exit(exitCode(err))
	}
}
