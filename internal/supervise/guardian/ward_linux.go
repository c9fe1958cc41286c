// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tailrace/tailrace/internal/supervise/cgroup"
)

const (
	// A tree that ends is looked at after firstLook, then ever less often; but soon when one of our children has ended, which everything
	// below us becomes that loses its parent. No look begins before looksApart times the duration of the one before has passed.
	firstLook   = 2 * time.Millisecond
	longestLook = 250 * time.Millisecond
	looksApart  = 2
	// killTime bounds the wait after SIGKILL: only a process in an uninterruptible system call, and one that became another user, outlives it.
	killTime = 2 * time.Second
	// lastTime bounds the life of the guardian after its owner's, from the end of the grace period.
	lastTime = 10 * time.Second
)

// ward does the work of the guardian, on one goroutine.
type ward struct {
	id
	grace  time.Duration
	tagged bool // children carry a tag
	self   int
	trees  map[int]*tree
	byPID  map[int]*tree // direct children that live
	last   int           // number of a tree
	fs     procfs
	groups []*cgroup.Group // of trees that have ended, until they can be removed
	swept  map[cgroup.Parent]bool

	over     bool // nobody asks any more: all has to end
	deadline time.Time
	told     map[key]bool // those of no tree that were asked to end

	interval, took time.Duration
	looked         time.Time
}

// tree is a direct child and all that it has started.
type tree struct {
	number, pid int
	group       int // 0: it is known not to exist any more
	exited      bool
	memory      *cgroup.Group // nil: without a limit
	signal      syscall.Signal
	grace       time.Duration

	ending   bool
	deadline time.Time
	killed   bool // its group, at the deadline
	told     map[key]bool
	asked    bool // the group, while its leader lived
	waiting  []uint64
}

func (w *ward) run(packets <-chan packet, ended <-chan os.Signal) {
	timer := time.NewTimer(time.Hour)
	for {
		select {
		case p, ok := <-packets:
			if ok {
				w.handle(p)
			} else {
				packets = nil
				w.orphaned()
			}
		case <-ended:
		case <-timer.C:
		}
		w.reap()
		wait, done := w.tend(time.Now())
		if left := w.removeGroups(); left {
			wait = min(wait, groupWait)
		}
		if done {
			w.lastGroups()
			return
		}
		timer.Reset(wait)
	}
}

func (w *ward) handle(p packet) {
	defer p.close()
	answer := reply{ID: p.ID}
	switch p.Op {
	case opStart:
		w.start(p, &answer)
	case opEnd:
		t := w.trees[p.Tree]
		if t == nil {
			break
		}
		t.waiting = append(t.waiting, p.ID)
		w.end(t, p.Signal, p.Grace)
		return
	}
	w.send(answer)
}

func (w *ward) start(p packet, answer *reply) {
	var c command
	if len(p.files) != 3 {
		answer.Error = "guardian: the files of the command did not arrive" // a limit of open files
		return
	}
	if err := readMemoryFile(p.files[0], &c); err != nil {
		answer.fail("guardian: command", err)
		return
	}
	if len(w.trees) == maxTree {
		answer.Error = "guardian: too many processes"
		return
	}
	for w.last = w.last%maxTree + 1; w.trees[w.last] != nil; {
		w.last = w.last%maxTree + 1
	}
	memory, err := w.limitMemory(&c, w.last)
	if err != nil {
		answer.Error = "limits::memory: " + err.Error()
		return
	}
	pid, failed := w.fork(&c, w.last, p.files[1], p.files[2], memory)
	if failed != nil {
		w.discard(memory)
		answer.Error, answer.Errno = failed.Error, failed.Errno
		return
	}
	for _, other := range w.trees {
		if other.group == pid {
			other.group = 0 // the kernel gives no number of a living group away
		}
	}
	t := &tree{number: w.last, pid: pid, group: pid, memory: memory, signal: c.Signal, grace: c.Grace, told: map[key]bool{}}
	w.trees[t.number], w.byPID[pid] = t, t
	answer.Tree, answer.PID = t.number, pid
}

// reap waits for all children that have ended, those that lost their parents included.
func (w *ward) reap() {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		w.interval = 0
		t := w.byPID[pid]
		if t == nil || !status.Exited() && !status.Signaled() {
			continue
		}
		t.exited = true
		delete(w.byPID, pid)
		w.send(reply{
			Tree: t.number, Exited: true, Status: status, CPU: time.Duration(usage.Utime.Nano() + usage.Stime.Nano()),
			OutOfMemory: t.memory != nil && t.memory.Killed(),
		})
	}
}

// end begins the end of a tree: the group of a living child is asked at once, the others when it has ended.
func (w *ward) end(t *tree, signal syscall.Signal, grace time.Duration) {
	deadline := time.Now().Add(grace)
	if t.ending && !deadline.Before(t.deadline) {
		return
	}
	if !t.ending && !t.exited {
		_ = unix.Kill(-t.group, signal)
		t.asked = true
	}
	t.ending, t.deadline, t.signal = true, deadline, signal
	w.interval = 0
}

// orphaned begins the end of everything.
func (w *ward) orphaned() {
	w.over, w.deadline, w.told = true, time.Now().Add(w.grace), map[key]bool{}
	for _, t := range w.trees {
		w.end(t, t.signal, min(t.grace, w.grace))
	}
}

// tend does what is due, and returns when the next is.
func (w *ward) tend(now time.Time) (wait time.Duration, done bool) {
	wait = time.Hour
	look := w.over
	for _, t := range w.trees {
		if !t.ending {
			continue
		}
		if !t.exited && now.Before(t.deadline) {
			wait = min(wait, t.deadline.Sub(now))
			continue
		}
		if !t.exited && !t.killed {
			// Its number can't be used again while the leader has not been waited for.
			t.killed = true
			_ = unix.Kill(-t.group, unix.SIGKILL)
		}
		look = true
	}
	if !look {
		return wait, false
	}
	if due := w.looked.Add(max(w.interval, looksApart*w.took)); now.Before(due) {
		return min(wait, due.Sub(now)), false
	}
	w.looked = now
	done = w.look(now)
	w.took = time.Since(now)
	w.interval = min(max(firstLook, 2*w.interval), longestLook)
	return max(min(wait, w.interval), looksApart*w.took), done
}

// look signals all that has to end, and answers for trees that have.
func (w *ward) look(now time.Time) (done bool) {
	procs, err := w.fs.all()
	if err != nil {
		return w.over && now.After(w.deadline.Add(lastTime)) // no /proc: the parent-death signals have to do
	}
	members := w.attribute(below(procs, w.self))
	for _, t := range w.trees {
		if !t.ending || !t.exited && now.Before(t.deadline) {
			continue
		}
		all := members[t.number]
		if len(all) > 0 {
			w.signal(all, t.told, t.signal, t.deadline, now, func(p proc) bool { return t.asked && p.group == t.group })
			if !t.exited || now.Before(t.deadline.Add(killTime)) {
				continue
			}
		} else if !t.exited {
			continue
		}
		for _, id := range t.waiting {
			w.send(reply{ID: id, Survivors: pids(all)})
		}
		w.discard(t.memory)
		delete(w.trees, t.number)
	}
	if !w.over {
		return false
	}
	strays := members[0]
	for number, all := range members {
		if w.trees[number] == nil && number != 0 {
			strays = append(strays, all...)
		}
	}
	w.signal(strays, w.told, unix.SIGTERM, w.deadline, now, func(proc) bool { return false })
	return len(w.trees) == 0 && (len(strays) == 0 || now.After(w.deadline.Add(lastTime)))
}

// signal asks each process once until the deadline, and kills it after. Skip says which were asked already.
func (w *ward) signal(all []proc, told map[key]bool, signal syscall.Signal, deadline, now time.Time, skip func(proc) bool) {
	if !now.Before(deadline) {
		for _, p := range all {
			_ = w.fs.signal(p, unix.SIGKILL)
		}
		return
	}
	for _, p := range all {
		if !told[p.key()] && !skip(p) {
			_ = w.fs.signal(p, signal)
		}
		told[p.key()] = true
	}
}

// attribute finds the tree of each process; 0 is none. Parents come before their children.
func (w *ward) attribute(procs []proc) map[int][]proc {
	groups := map[int]int{}
	for _, t := range w.trees {
		if t.group != 0 {
			groups[t.group] = t.number
		}
	}
	members := map[int][]proc{}
	marks := make(map[key]mark, len(procs))
	of := map[int]int{}
	for _, p := range procs {
		m, known := w.fs.marks[p.key()]
		if !known && w.tagged {
			m = w.fs.tag(p)
		}
		number := 0
		switch {
		case m.id == w.id && m.tree != 0:
			number = m.tree
		case w.byPID[p.pid] != nil:
			number = w.byPID[p.pid].number
		case groups[p.group] != 0:
			number = groups[p.group]
		default:
			if !known {
				m = w.fs.variable(p)
			}
			if number = of[p.parent]; m.id == w.id && m.tree != 0 {
				number = m.tree
			}
		}
		marks[p.key()] = m
		of[p.pid] = number
		members[number] = append(members[number], p)
	}
	w.fs.marks = marks
	return members
}

func pids(procs []proc) []int {
	var all []int
	for _, p := range procs {
		all = append(all, p.pid)
	}
	slices.Sort(all)
	return all
}
