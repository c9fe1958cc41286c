// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Command tailctl is the companion command line of Tailrace.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"
)

//go:generate go test -count=1 -run TestReference . -update

func main() {
	// The kernel kills what `tailctl run` runs when the thread ends that started it: this one never does before the process.
	runtime.LockOSThread()
	os.Exit(execute(newRootCommand()))
}

// version is set by the linker, where something is built to be given away.
var version = "development"

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:     "tailctl",
		Short:   "The companion of Tailrace",
		Version: version,
		// What went wrong is not about the usage, mostly; execute says it.
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRunCommand(),
		newServersCommand(),
		newBuildsCommand(),
		newTokenCommand(),
		newTailCommand(),
	)
	return root
}

// exitError ends the program with a code of its own; nothing is printed for it.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// execute returns the exit code.
func execute(root *cobra.Command) int {
	err := root.Execute()
	var exit exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	}
	fmt.Fprintln(os.Stderr, "tailctl:", err)
	return exitCode(err)
}
