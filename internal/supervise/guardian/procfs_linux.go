// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// rlimitLocks is RLIMIT_LOCKS, the same on all architectures.
const rlimitLocks = 10

// Variable is the name of the variable that marks the environment of a process.
const Variable = "TAILRACE_RUN"

// maxTree is the highest number of a tree; the one above it is in the hard limit.
const maxTree = 0xfffe

// id names one guardian.
type id struct {
	name     uint32 // 30 bits of the owner's name
	instance uint16
}

func nameOf(owner string) uint32 {
	sum := sha256.Sum256([]byte(owner))
	return binary.BigEndian.Uint32(sum[:]) >> 2
}

// tag of a tree; tree 0 is the guardian itself.
func (i id) tag(tree int) unix.Rlimit {
	prefix := uint64(i.name)<<32 | uint64(i.instance)<<16
	return unix.Rlimit{Cur: prefix | uint64(tree), Max: prefix | maxTree + 1}
}

func (i id) mark(tree int) string { return fmt.Sprintf("%08x-%04x-%d", i.name, i.instance, tree) }

// mark is what a tag or a variable says.
type mark struct {
	id
	tree int
}

func parseMark(text string) (mark, bool) {
	var m mark
	parts := strings.Split(text, "-")
	if len(parts) != 3 || len(parts[0]) != 8 || len(parts[1]) != 4 {
		return m, false
	}
	name, err1 := strconv.ParseUint(parts[0], 16, 30)
	instance, err2 := strconv.ParseUint(parts[1], 16, 16)
	tree, err3 := strconv.ParseUint(parts[2], 10, 16)
	m = mark{id: id{name: uint32(name), instance: uint16(instance)}, tree: int(tree)}
	return m, err1 == nil && err2 == nil && err3 == nil
}

// parseTag reads the tag in /proc/<pid>/limits: "Max file locks  <soft>  <hard>  locks".
func parseTag(limits []byte) (mark, bool) {
	_, rest, ok := bytes.Cut(limits, []byte("Max file locks"))
	if !ok {
		return mark{}, false
	}
	fields := bytes.Fields(rest[:bytes.IndexByte(append(rest, '\n'), '\n')])
	if len(fields) < 2 {
		return mark{}, false
	}
	soft, err1 := strconv.ParseUint(string(fields[0]), 10, 62)
	hard, err2 := strconv.ParseUint(string(fields[1]), 10, 62)
	if err1 != nil || err2 != nil || hard&0xffff != maxTree+1 || soft>>16 != hard>>16 || soft == hard {
		return mark{}, false
	}
	return mark{id: id{name: uint32(hard >> 32), instance: uint16(hard >> 16)}, tree: int(soft & 0xffff)}, true
}

// proc is a process as one look at /proc saw it.
type proc struct {
	pid, parent, group int
	started            uint64 // since boot, in clock ticks: with pid it names a process for good
	zombie             bool
}

// key names a process, also when its pid is used again.
type key struct {
	pid     int
	started uint64
}

func (p proc) key() key { return key{p.pid, p.started} }

// parseStat reads /proc/<pid>/stat: pid (name) state ppid pgrp …, where the name may hold anything.
func parseStat(stat []byte) (proc, bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 1 || end < open {
		return proc{}, false
	}
	fields := bytes.Fields(stat[end+1:])
	const state, ppid, pgrp, starttime = 0, 1, 2, 19
	if len(fields) <= starttime {
		return proc{}, false
	}
	pid, err1 := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	parent, err2 := strconv.Atoi(string(fields[ppid]))
	group, err3 := strconv.Atoi(string(fields[pgrp]))
	started, err4 := strconv.ParseUint(string(fields[starttime]), 10, 64)
	return proc{
		pid: pid, parent: parent, group: group, started: started,
		zombie: fields[state][0] == 'Z' || fields[state][0] == 'X',
	}, err1 == nil && err2 == nil && err3 == nil && err4 == nil
}

// procfs reads /proc. Not safe for concurrent use.
type procfs struct {
	buf   []byte
	marks map[key]mark // of the last look, zero for none
}

// read returns what is valid until the next read; nil when the process is gone, or not ours to read.
func (f *procfs) read(pid int, name string) []byte {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	if f.buf == nil {
		f.buf = make([]byte, 8<<10)
	}
	used := 0
	for {
		n, err := unix.Read(fd, f.buf[used:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil
		}
		if n == 0 {
			return f.buf[:used]
		}
		if used += n; used == len(f.buf) {
			f.buf = append(f.buf, make([]byte, len(f.buf))...)
		}
	}
}

func (f *procfs) stat(pid int) (proc, bool) { return parseStat(f.read(pid, "stat")) }

// all returns all processes.
func (f *procfs) all() ([]proc, error) {
	folder, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	procs := make([]proc, 0, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := f.stat(pid); ok {
			procs = append(procs, p)
		}
	}
	return procs, nil
}

// mark returns the tag of a process.
func (f *procfs) tag(p proc) mark {
	m, _ := parseTag(f.read(p.pid, "limits"))
	return m
}

// variable returns the mark in the environment that a process was started with.
func (f *procfs) variable(p proc) mark {
	env := f.read(p.pid, "environ")
	prefix := []byte(Variable + "=")
	for len(env) > 0 {
		var entry []byte
		entry, env, _ = bytes.Cut(env, []byte{0})
		if value, ok := bytes.CutPrefix(entry, prefix); ok {
			m, _ := parseMark(string(value))
			return m
		}
	}
	return mark{}
}

// signal reaches exactly the process that was seen: never one that has got its pid since. A process that is gone is no error.
func (f *procfs) signal(p proc, signal syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	switch {
	case err == nil:
		defer func() { _ = unix.Close(fd) }()
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL): // EINVAL: has become a thread
		return nil
	default:
		fd = -1 // before Linux 5.3
	}
	now, ok := f.stat(p.pid)
	if !ok || now.started != p.started {
		return nil
	}
	if fd >= 0 {
		err = unix.PidfdSendSignal(fd, signal, nil, 0)
	} else {
		err = unix.Kill(p.pid, signal)
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// below returns the living descendants of the roots, without the roots, parents before their children. The roots are pids.
func below(procs []proc, roots ...int) []proc {
	children := map[int][]proc{}
	for _, p := range procs {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []proc
	seen := map[int]bool{}
	for _, pid := range roots {
		seen[pid] = true
	}
	for len(roots) > 0 {
		pid := roots[0]
		roots = roots[1:]
		for _, p := range children[pid] {
			if seen[p.pid] {
				continue
			}
			seen[p.pid] = true
			roots = append(roots, p.pid)
			if !p.zombie {
				found = append(found, p)
			}
		}
	}
	return found
}
