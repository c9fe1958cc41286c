// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package supervise

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary runs itself as the child: childMode says what it does then.
const childMode = "SUPERVISE_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode, ok := os.LookupEnv(childMode); ok {
		name, arg, _ := strings.Cut(mode, ":")
		children[name](arg)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var children = map[string]func(arg string){
	"torture": func(arg string) {
		seed, _ := strconv.ParseUint(arg, 10, 64)
		done := make(chan struct{})
		go func() {
			defer close(done)
			writeChunks(os.Stderr, torture(seed+1), seed+1)
		}()
		writeChunks(os.Stdout, torture(seed), seed)
		<-done
	},
	"midline": func(string) {
		fmt.Print("whole\nhal")
		time.Sleep(20 * time.Millisecond)
		fmt.Print("f")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},
	"exit": func(arg string) {
		fmt.Print("gone at once")
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	},
	"env": func(string) {
		fmt.Println(strings.Join(os.Environ(), "\n"))
	},
	// Ends at SIGTERM, after its last words.
	"polite": func(string) {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("ready")
		<-stop
		fmt.Println("flushing")
		time.Sleep(100 * time.Millisecond)
		fmt.Fprint(os.Stderr, "last words")
	},
	"stubborn": func(string) {
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		time.Sleep(time.Hour)
	},
	// A child of the child that ignores SIGTERM and keeps the pipes; arg "away": in a session of its own.
	"parent": func(arg string) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{childMode + "=stubborn"}
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		if arg == "away" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		if err := cmd.Start(); err != nil {
			panic(err)
		}
		fmt.Println("child", cmd.Process.Pid)
	},
	"flood": func(string) {
		for i := 0; ; i++ {
			fmt.Println("line", i)
		}
	},
	// Counts, and ends at SIGTERM.
	"count": func(string) {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		for i := 0; ; i++ {
			fmt.Println("line", i)
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
			}
		}
	},
	// Fails until the file arg exists, then creates it.
	"second": func(arg string) {
		if _, err := os.Stat(arg); err == nil {
			fmt.Println("second run")
			return
		}
		_ = os.WriteFile(arg, nil, 0o600)
		os.Exit(3)
	},
	// Serves HTTP on the address arg, with the status that the file HEALTH_FILE holds, or 503.
	"http": func(arg string) {
		panic(http.ListenAndServe(arg, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			text, _ := os.ReadFile(os.Getenv("HEALTH_FILE"))
			status, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				status = http.StatusServiceUnavailable
			}
			w.WriteHeader(status)
		})))
	},
	// Serves HTTP on PORT.
	"serve": func(string) {
		panic(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	},
	// Uses memory, files and CPU time in a child in a group of its own; arg "inner" is that child.
	"busy": func(arg string) {
		if arg != "inner" {
			cmd := exec.Command(os.Args[0])
			cmd.Env = []string{childMode + "=busy:inner"}
			cmd.Stdout = os.Stdout
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			fmt.Println("child", cmd.Process.Pid)
			time.Sleep(time.Hour)
		}
		memory := bytes.Repeat([]byte{1}, 64<<20)
		var files []*os.File
		for range 50 {
			f, _ := os.Open(os.Args[0])
			files = append(files, f)
		}
		for i, parent := 0, syscall.Getppid(); syscall.Getppid() == parent; i++ {
			memory[i%len(memory)]++
		}
		runtime.KeepAlive(files)
	},
}

// torture is the output of a nasty program: the same for the same seed.
func torture(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 42))
	var b bytes.Buffer
	for i := range 3000 {
		switch random.IntN(8) {
		case 0:
			b.WriteString("\n")
		case 1:
			fmt.Fprintf(&b, "%d 日本語 🦊🦊 äöü\r\n", i)
		case 2:
			fmt.Fprintf(&b, "%d%%\r", i)
		case 3:
			fmt.Fprintf(&b, "%d %s\n", i, strings.Repeat("ü", random.IntN(3000)))
		default:
			fmt.Fprintf(&b, "%d %s\n", i, strings.Repeat("x", random.IntN(60)))
		}
	}
	b.WriteString(strings.Repeat("🦊", 100_000) + "\nno end of line")
	return b.Bytes()
}

// writeChunks writes to a file by itself: every chunk is a system call.
func writeChunks(f *os.File, data []byte, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 43))
	for len(data) > 0 {
		n := 1
		if random.IntN(4) > 0 {
			n += random.IntN(5000)
		}
		n = min(n, len(data))
		if _, err := f.Write(data[:n]); err != nil {
			panic(err)
		}
		data = data[n:]
	}
}
