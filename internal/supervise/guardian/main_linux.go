// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processName is the first argument of the guardian, and what the kernel calls it.
const processName = "tailrace-guardian"

// The arguments of the guardian: its name, the id (two), the pid and the start of the owner, and the grace period at the end.
const arguments = 6

// socketFD is where the guardian finds its end of the socket.
const socketFD = 3

// init is the guardian, where the process was started as such; it does not return then. It does nothing in any other process.
// Main would be too late: a program that embeds this package need not know of it.
func init() {
	if len(os.Args) != arguments || os.Args[0] != processName {
		return
	}
	var stat unix.Stat_t
	if unix.Fstat(socketFD, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return
	}
	name, err1 := strconv.ParseUint(os.Args[1], 16, 30)
	instance, err2 := strconv.ParseUint(os.Args[2], 16, 16)
	grace, err3 := time.ParseDuration(os.Args[5])
	if errors.Join(err1, err2, err3) != nil {
		return
	}
	// Exit without the handlers of the runtime: the race detector's waits a second.
	syscall.Exit(guard(id{name: uint32(name), instance: uint16(instance)}, grace))
}

func argumentsOf(i id, owner proc, grace time.Duration) []string {
	return []string{
		processName, strconv.FormatUint(uint64(i.name), 16), strconv.FormatUint(uint64(i.instance), 16),
		strconv.Itoa(owner.pid), strconv.FormatUint(owner.started, 10), grace.String(),
	}
}

// guard runs on the main thread, which lives as long as the process: the parent-death signal of the children depends on it.
func guard(i id, grace time.Duration) int {
	closeInherited()
	catchSignals()
	_ = os.WriteFile("/proc/self/comm", []byte(processName), 0)
	debug.SetGCPercent(20) // little garbage, and many of us
	w := &ward{id: i, grace: grace, self: os.Getpid(), trees: map[int]*tree{}, byPID: map[int]*tree{}}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		r := reply{}
		r.fail("prctl PR_SET_CHILD_SUBREAPER", err)
		w.send(r)
		return 1
	}
	own := i.tag(0)
	w.tagged = unix.Setrlimit(rlimitLocks, &own) == nil
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	packets := make(chan packet)
	go receive(packets)
	w.send(reply{Ready: true})
	debug.FreeOSMemory() // of the other init functions
	w.run(packets, ended)
	return 0
}

// closeInherited closes what our owner had inherited itself, such as a listening socket: our own files are closed on exec.
func closeInherited() {
	names, _ := os.ReadDir("/proc/self/fd")
	for _, name := range names {
		fd, err := strconv.Atoi(name.Name())
		if err != nil || fd <= socketFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	unix.CloseOnExec(socketFD)
}

// catchSignals makes us deaf. Ignoring would be inherited by the children; what was ignored before is, as from any parent.
func catchSignals() {
	deaf := make(chan os.Signal, 1)
	for _, s := range []os.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU,
	} {
		if !signal.Ignored(s) {
			signal.Notify(deaf, s)
		}
	}
}

// packet is a request with the files that came with it.
type packet struct {
	request
	files []int
}

func (p packet) close() {
	for _, fd := range p.files {
		_ = unix.Close(fd)
	}
}

// receive ends with the socket: when nobody holds the other end any more.
func receive(packets chan<- packet) {
	defer close(packets)
	buf, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(16*4))
	for {
		n, oobn, _, _, err := unix.Recvmsg(socketFD, buf, oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 {
			return
		}
		var p packet
		if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
			for i := range messages {
				files, _ := unix.ParseUnixRights(&messages[i])
				p.files = append(p.files, files...)
			}
		}
		if decode(buf[:n], &p.request) != nil {
			p.close() // only an owner of another version would send it, and there is none
			continue
		}
		packets <- p
	}
}

func (w *ward) send(r reply) {
	data, err := encode(r)
	if err != nil {
		return
	}
	for {
		// Without a receiver the answer has no use.
		if err := unix.Sendmsg(socketFD, data, nil, nil, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
