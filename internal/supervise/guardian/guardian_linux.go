// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startTime bounds the wait for a guardian to say that it is ready: all init functions of the program run before.
const startTime = time.Minute

// ErrLost is the error of calls to a guardian that has ended.
var ErrLost = errors.New("the guardian process has ended")

// Options configure a guardian.
type Options struct {
	// Owner is the name that a successor finds what we left by; empty: nobody does.
	Owner string
	// Grace is the time from our end to SIGKILL for all that still runs.
	Grace time.Duration
	// Lost is called when the guardian has ended without Close, after everything below it was ended, with what that took. It may be nil.
	Lost func(pid int, ended []Orphan, err error)
}

// Guardian is a running guardian process. Safe for concurrent use.
type Guardian struct {
	id      id
	options Options
	cmd     *exec.Cmd
	conn    *net.UnixConn
	done    chan struct{} // the socket is closed and all is told

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan answer
	trees   map[int]*Process
	closing bool
	lost    bool
}

// Command is what a guardian starts.
type Command struct {
	Path       string   // absolute
	Args       []string // with the name of the program
	Dir        string   // empty: ours
	Env        []string
	Credential *syscall.Credential // nil: as we are
	Umask      *int
	OpenFiles  uint64 // soft and hard limit; 0: ours
	// Memory bounds what the whole tree has in memory, in bytes; 0: nothing does. Cgroup is the folder of the control group
	// below which the one of the tree is made; empty: one is found.
	Memory uint64
	Cgroup string
	// Stdout and Stderr stay the caller's, who closes them after Start.
	Stdout, Stderr *os.File
	// StopSignal and Grace are for the end without us; not longer than Options.Grace.
	StopSignal syscall.Signal
	Grace      time.Duration
}

// Process is a direct child of the guardian.
type Process struct {
	PID    int
	g      *Guardian
	tree   int
	exited chan struct{}
	status Status
}

// Status says how a process ended.
type Status struct {
	Wait syscall.WaitStatus
	CPU  time.Duration // its own and that of the children that it waited for
	// Lost says that the guardian ended before: the kernel killed the process, as Wait says.
	Lost bool
	// OutOfMemory says that the kernel has killed a process of the tree, perhaps this one, because of Command.Memory.
	OutOfMemory bool
}

// Start starts a guardian, and returns when it is ready.
func Start(options Options) (*Guardian, error) {
	g := &Guardian{options: options, waiting: map[uint64]chan answer{}, trees: map[int]*Process{}, done: make(chan struct{})}
	if err := g.start(); err != nil {
		return nil, fmt.Errorf("guardian: %w", err)
	}
	return g, nil
}

func (g *Guardian) start() error {
	fs := &procfs{}
	owner, ok := fs.stat(os.Getpid())
	if !ok {
		return errors.New("/proc/self/stat can't be read; /proc must be mounted")
	}
	if g.id.name = nameOf(g.options.Owner); g.options.Owner == "" {
		g.id.name = rand.Uint32() >> 2
	}
	used, err := instances(fs, g.id.name)
	if err != nil {
		return err
	}
	for g.id.instance = uint16(rand.Uint32()); used[g.id.instance]; {
		g.id.instance++
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "guardian"), os.NewFile(uintptr(fds[1]), "guardian")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return err
	}
	g.conn = conn.(*net.UnixConn)
	g.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Args: argumentsOf(g.id, owner, g.options.Grace), Env: []string{},
		ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err = g.cmd.Start(); err != nil {
		return errors.Join(err, g.conn.Close())
	}
	_ = theirs.Close()
	_ = g.conn.SetReadDeadline(time.Now().Add(startTime))
	hello, err := g.read()
	if err == nil {
		if err = hello.err(); err == nil && !hello.Ready {
			err = errors.New("it does not say that it is ready")
		}
	}
	if err != nil {
		_ = g.conn.Close()
		_ = g.cmd.Process.Kill()
		return errors.Join(fmt.Errorf("could not be started: %w", err), g.cmd.Wait())
	}
	_ = g.conn.SetReadDeadline(time.Time{})
	go g.run()
	return nil
}

// PID is that of the guardian process.
func (g *Guardian) PID() int { return g.cmd.Process.Pid }

// Done is closed when the guardian has ended and nothing below it is left that can be ended.
func (g *Guardian) Done() <-chan struct{} { return g.done }

func (g *Guardian) read() (reply, error) {
	var r reply
	buf := make([]byte, 64<<10)
	n, err := g.conn.Read(buf)
	if err != nil {
		return r, err
	}
	return r, decode(buf[:n], &r)
}

// run hands out what the guardian says, until it ends.
func (g *Guardian) run() {
	defer close(g.done)
	for {
		r, err := g.read()
		if err != nil {
			break
		}
		g.mu.Lock()
		switch {
		case r.Exited:
			if p := g.trees[r.Tree]; p != nil {
				p.status = Status{Wait: r.Status, CPU: r.CPU, OutOfMemory: r.OutOfMemory}
				close(p.exited)
				delete(g.trees, r.Tree)
			}
		case g.waiting[r.ID] != nil:
			got := answer{reply: r}
			if r.PID != 0 {
				// Here, because the next packet may tell of its end.
				got.process = &Process{PID: r.PID, g: g, tree: r.Tree, exited: make(chan struct{})}
				g.trees[r.Tree] = got.process
			}
			g.waiting[r.ID] <- got
		}
		g.mu.Unlock()
	}
	_ = g.conn.Close()
	g.mu.Lock()
	g.lost = true
	closing := g.closing
	g.mu.Unlock()
	if !closing {
		// It may have closed the socket only, which it never does; and whatever it does then is ended with it.
		_ = g.cmd.Process.Kill()
	}
	if err := g.cmd.Wait(); err != nil || !closing {
		ended, err := g.endRest()
		if !closing && g.options.Lost != nil {
			g.options.Lost(g.PID(), ended, err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.trees {
		p.status = Status{Wait: syscall.WaitStatus(syscall.SIGKILL), Lost: true}
		close(p.exited)
	}
	clear(g.trees)
	for _, answered := range g.waiting {
		close(answered)
	}
	clear(g.waiting)
}

// endRest ends what a killed guardian left.
func (g *Guardian) endRest() ([]Orphan, error) {
	hunt := hunt{fs: &procfs{}, name: g.id.name, only: &g.id.instance, signal: unix.SIGTERM, grace: g.options.Grace}
	return hunt.run()
}

// answer is a reply with the process that it tells of.
type answer struct {
	reply
	process *Process
}

// ask sends a request and waits for the answer. The process is nil, unless one was started.
func (g *Guardian) ask(r request, files ...*os.File) (*Process, error) {
	answered := make(chan answer, 1)
	g.mu.Lock()
	if g.lost || g.closing {
		g.mu.Unlock()
		return nil, ErrLost
	}
	g.next++
	r.ID = g.next
	g.waiting[r.ID] = answered
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.waiting, r.ID)
	}()
	data, err := encode(r)
	if err != nil {
		return nil, err
	}
	var fds []int
	for _, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := raw.Control(func(fd uintptr) { fds = append(fds, int(fd)) }); err != nil {
			return nil, err
		}
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err = g.conn.WriteMsgUnix(data, rights, nil); err != nil {
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, net.ErrClosed) {
			err = ErrLost
		}
		return nil, err
	}
	got, ok := <-answered
	if !ok {
		return nil, ErrLost
	}
	if err = got.err(); err != nil {
		return nil, err
	}
	return got.process, nil
}

// Start starts a process in a group of its own. The error of the system call can be recognised in the one returned; ErrLost says
// that another guardian is needed. Whoever starts a process has to call End, also when it has ended by itself.
func (g *Guardian) Start(c Command) (*Process, error) {
	wire := command{
		Path: c.Path, Args: c.Args, Dir: c.Dir, OpenFiles: c.OpenFiles, Memory: c.Memory, Cgroup: c.Cgroup, Signal: c.StopSignal, Grace: c.Grace,
		Env: slices.DeleteFunc(slices.Clone(c.Env), func(entry string) bool { return strings.HasPrefix(entry, Variable+"=") }),
	}
	if c.Credential != nil {
		wire.Credential, wire.HasCred = *c.Credential, true
	}
	if c.Umask != nil {
		wire.Umask, wire.HasUmask = *c.Umask, true
	}
	file, err := memoryFile(wire)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for _, f := range []*os.File{c.Stdout, c.Stderr} {
		// Programs do not expect EAGAIN.
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err = errors.Join(raw.Control(func(fd uintptr) { err = unix.SetNonblock(int(fd), false) }), err); err != nil {
			return nil, err
		}
	}
	return g.ask(request{Op: opStart}, file, c.Stdout, c.Stderr)
}

// Exited is closed when the process, but not necessarily all of its tree, has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Status may be called after Exited.
func (p *Process) Status() Status { return p.status }

// End ends the whole tree and returns when nothing of it is left. While the process lives, its group is sent the signal; when
// it has ended, all that is left of the tree is, once each; at the end of the grace period everything is killed. The error names what
// can't be ended, such as a process that became another user.
func (p *Process) End(signal syscall.Signal, grace time.Duration) error {
	_, err := p.g.ask(request{Op: opEnd, Tree: p.tree, Signal: signal, Grace: grace})
	if errors.Is(err, ErrLost) {
		// Then all of it was ended.
		<-p.g.done
		return nil
	}
	return err
}

// Close ends everything that still runs below the guardian, and the guardian. It returns when that has happened.
func (g *Guardian) Close() error {
	g.mu.Lock()
	g.closing = true
	g.mu.Unlock()
	_ = g.conn.CloseWrite()
	timer := time.NewTimer(g.options.Grace + lastTime + killTime)
	defer timer.Stop()
	select {
	case <-g.done:
		return nil
	case <-timer.C:
		_ = g.cmd.Process.Kill()
		<-g.done
		return errors.New("guardian: it did not end in time, and was killed")
	}
}
