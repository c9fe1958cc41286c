// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onTerminal starts a command as a shell would: its terminal is a pty, whose output is collected.
func onTerminal(t *testing.T, cmd *exec.Cmd) (io.ReadWriter, func(rows, cols uint16), *lockedBuffer) {
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 80})
	require.NoError(t, err)
	out := &lockedBuffer{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, master)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = master.Close()
		<-done
	})
	return master, func(rows, cols uint16) {
		require.NoError(t, pty.Setsize(master, &pty.Winsize{Rows: rows, Cols: cols}))
	}, out
}

// program is what the test runs on a terminal: it tells what it sees, and ends with the first line that it reads.
func program() {
	signals := make(chan os.Signal, 10)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGINT)
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) && isTerminal(os.Stderr) {
		fmt.Println("three terminals")
	}
	size := func() {
		rows, cols, err := pty.Getsize(os.Stdout)
		fmt.Println("size", rows, cols, err)
	}
	size()
	fmt.Fprintln(os.Stderr, "on stderr")
	fmt.Println("ready")
	lines := make(chan string)
	go func() {
		in := bufio.NewScanner(os.Stdin)
		in.Scan()
		lines <- in.Text()
	}()
	interrupts := 0
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGWINCH {
				size()
				continue
			}
			interrupts++
			fmt.Println("interrupt", interrupts)
		case line := <-lines:
			fmt.Println("read", line)
			os.Exit(7)
		}
	}
}

func TestOnATerminal(t *testing.T) {
	p, sink := newPlace(t), newSink()
	p.collector(t, sink, nil)
	cmd := p.tailctl("--server", "web-1", "--", "env", asProgram+"=1", os.Args[0])
	terminal, resize, out := onTerminal(t, cmd)
	sees := func(text string) {
		require.Eventually(t, func() bool { return strings.Contains(out.String(), text) }, wait, tick, "%q in %q", text, out)
	}
	sees("three terminals\r\n") // the streams have no common order
	sees("size 24 80 <nil>\r\n")
	sees("ready\r\n")
	sees("on stderr\r\n")
	resize(50, 132)
	sees("size 50 132 <nil>\r\n")
	_, err := terminal.Write([]byte{3}) // Ctrl-C
	require.NoError(t, err)
	sees("interrupt 1\r\n")
	_, err = terminal.Write([]byte("hello\n"))
	require.NoError(t, err)
	sees("read hello\r\n")
	assert.Equal(t, 7, code(t, cmd.Wait()))
	assert.NotContains(t, out.String(), "interrupt 2", "Ctrl-C came twice")
	assert.NotContains(t, out.String(), "\r\r")
	require.Eventually(t, sink.hasEnded, wait, tick)
	assert.Equal(t, []string{"on stderr"}, sink.lines("stderr"))
	assert.Contains(t, sink.lines("stdout"), "three terminals")
}

func TestOnlyStderrIsATerminal(t *testing.T) {
	p := newPlace(t)
	cmd := p.tailctl("-q", "--", "sh", "-c", `test -t 1 || echo no terminal; test -t 2 && echo a terminal >&2`)
	var stdout lockedBuffer
	cmd.Stdout = &stdout
	_, _, out := onTerminal(t, cmd)
	require.NoError(t, cmd.Wait())
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "a terminal\r\n") }, wait, tick)
	assert.Equal(t, "no terminal\n", stdout.String())
}

// Ctrl-Z stops both, and both go on: the shell sees its job stop.
func TestCtrlZ(t *testing.T) {
	p := newPlace(t)
	script := `set -m; "$0" "$@" & fg %1 >/dev/null; echo "job status $?"; sleep 0.1; fg %1 >/dev/null; echo "end $?"`
	tailctl := p.tailctl("-q", "--", "bash", "-c", `echo ready; read line; echo "read $line"; exit 5`)
	cmd := exec.Command("bash", append([]string{"-c", script}, tailctl.Args...)...)
	cmd.Env = tailctl.Env
	terminal, _, out := onTerminal(t, cmd)
	sees := func(text string) {
		require.Eventually(t, func() bool { return strings.Contains(out.String(), text) }, wait, tick, "%q in %q", text, out)
	}
	sees("ready\r\n")
	_, err := terminal.Write([]byte{26})
	require.NoError(t, err)
	sees("job status 148\r\n") // 128 + SIGTSTP
	_, err = terminal.Write([]byte("again\n"))
	require.NoError(t, err)
	sees("read again\r\n")
	sees("end 5\r\n")
}
