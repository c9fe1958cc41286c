// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tailrace/tailrace/internal/segment"
)

const (
	envFull     = "SEGMENT_TEST_FULL" // folder
	envFullMode = "SEGMENT_TEST_FULL_MODE"
	modeMount   = "mount"
	modeLimit   = "limit"
	noMount     = "cannot mount"
)

// A really full disk, made in two ways: a small file system in a mount namespace of the child's own, where the system
// allows that, and everywhere the kernel's limit on the length of a file, which fails the same calls.
func TestFullDisk(t *testing.T) {
	for _, group := range []string{"", "1"} {
		for _, mode := range []string{modeMount, modeLimit} {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), envFull+"="+t.TempDir(), envFullMode+"="+mode, envGroup+"="+group)
			if mode == modeMount {
				cmd.SysProcAttr = &syscall.SysProcAttr{
					Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
					UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
					GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
				}
			}
			out, err := cmd.CombinedOutput()
			t.Logf("%s: %s", mode, out)
			if mode == modeMount && (err != nil && len(out) == 0 || strings.Contains(string(out), noMount)) {
				continue // namespaces are not allowed here; the other mode is
			}
			require.NoError(t, err, string(out))
			assert.Contains(t, string(out), "refused with")
		}
	}
}

func runOnFullDisk() {
	dir := os.Getenv(envFull)
	ballast := filepath.Join(dir, "ballast")
	free := func() error { return os.Remove(ballast) }
	if os.Getenv(envFullMode) == modeMount {
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
			fmt.Println(noMount, err)
			return
		}
		must(os.WriteFile(ballast, make([]byte, 512<<10), 0o600))
	} else {
		signal.Ignore(syscall.SIGXFSZ)
		var limit unix.Rlimit
		must(unix.Getrlimit(unix.RLIMIT_FSIZE, &limit))
		must(unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 100 << 10, Max: limit.Max}))
		free = func() error { return unix.Setrlimit(unix.RLIMIT_FSIZE, &limit) }
	}
	o := segment.WriterOptions{Dir: filepath.Join(dir, "jsonl"), Group: os.Getenv(envGroup) != ""}
	w, err := segment.OpenWriter(o)
	must(err)
	batch := func(i int) []segment.Part {
		line := fmt.Sprintf("%04d", i) + strings.Repeat("x", 3000)
		return []segment.Part{part("p", line+"\n"+line), part("q", line)}
	}
	acked := 0
	for ; acked < 400; acked++ {
		if err = w.Append(context.Background(), batch(acked)); err != nil {
			break
		}
	}
	if err == nil {
		must(fmt.Errorf("never full"))
	}
	fmt.Println("refused with", err, "after", acked)
	for range 5 { // the sender repeats in vain
		if w.Append(context.Background(), batch(acked)) == nil {
			must(fmt.Errorf("accepted on a full disk"))
		}
	}
	must(free())
	must(w.Append(context.Background(), batch(acked)))
	acked++
	must(w.Close())
	for project, times := range map[string]int{"p": 2, "q": 1} {
		var want []string
		for i := range acked {
			for range times {
				want = append(want, fmt.Sprintf("%04d", i))
			}
		}
		var got []string
		names, err := filepath.Glob(filepath.Join(segment.Dir(o.Dir, segment.Logs, project), "*.jsonl"))
		must(err)
		for _, name := range names {
			data, err := os.ReadFile(name)
			must(err)
			for l := range strings.Lines(string(data)) {
				got = append(got, l[:4])
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			must(fmt.Errorf("project %s: got %v, want %v", project, got, want))
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Println("FAILED", err)
		os.Exit(1)
	}
}
