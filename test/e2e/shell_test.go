// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tailrace/tailrace/internal/docblocks"
)

const endOfBlock = "===== end of block"

// shell is one bash for all blocks of a page, as for a person: variables of one block are there in the next one.
type shell struct {
	t      *testing.T
	input  io.Writer
	output *bufio.Reader
}

// newShell starts a bash in the folder that has the product's data, with what was built in its PATH and the shipped configurations beside it.
func newShell(t *testing.T, p *product) *shell {
	t.Helper()
	folder := filepath.Dir(p.data)
	require.NoError(t, os.Symlink(filepath.Join(p.root, "config"), filepath.Join(folder, "config")))
	cmd := exec.Command("bash", "-eu", "-o", "pipefail")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), p.environ()...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(p.root, "_build")+":"+os.Getenv("PATH"), "GOFLAGS=-mod=mod", "GOWORK=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := cmd.StdinPipe()
	require.NoError(t, err)
	output, write, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	require.NoError(t, write.Close())
	t.Cleanup(func() {
		_ = input.Close()
		_ = cmd.Wait()
		_ = output.Close()
	})
	return &shell{t: t, input: input, output: bufio.NewReader(output)}
}

// run runs commands and returns what they print, errors and all. A command that fails ends the shell, and the test.
func (s *shell) run(commands string) string {
	s.t.Helper()
	_, err := fmt.Fprintf(s.input, "%s\necho; echo '%s'\n", commands, endOfBlock)
	require.NoError(s.t, err)
	var printed strings.Builder
	for {
		line, err := s.output.ReadString('\n')
		if strings.TrimSpace(line) == endOfBlock {
			return printed.String()
		}
		printed.WriteString(line)
		require.NoErrorf(s.t, err, "a command of this block failed:\n%s\n%s", commands, printed.String())
	}
}

// expect runs a block and looks for each line of what it is to print. What only looks is repeated, as a person does: data takes a
// moment to the place where it is looked for.
func (s *shell) expect(b docblocks.Block, addresses *strings.Replacer) {
	s.t.Helper()
	commands := addresses.Replace(b.Commands)
	looks := b.Prints != "" && (strings.HasPrefix(commands, "curl ") || strings.HasPrefix(commands, "tailctl tail ") || strings.HasPrefix(commands, "ls "))
	deadline := time.Now().Add(30 * time.Second)
	for {
		once := commands
		if looks {
			once = "{\n" + commands + "} || true"
		}
		printed, missing := s.run(once), ""
		for line := range strings.Lines(b.Prints) {
			if !strings.Contains(printed, strings.TrimSpace(line)) {
				missing = line
			}
		}
		if missing == "" {
			return
		}
		require.True(s.t, looks && time.Now().Before(deadline), "%s\nprinted\n%s\nwithout\n%s", commands, printed, missing)
		time.Sleep(50 * time.Millisecond)
	}
}
