// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longestHunt is the longest time between two looks for orphans: servers wait for them.
const longestHunt = 50 * time.Millisecond

// Orphan is a process that has outlived its guardian.
type Orphan struct {
	PID  int
	Name string // as the kernel calls it
}

// EndOrphans ends what guardians of an owner left that do not live any more: with the signal, and after grace with SIGKILL. It waits
// for a guardian whose owner has ended and that does the same just now. It returns what it has ended, and an error when something is left.
func EndOrphans(owner string, signal syscall.Signal, grace time.Duration) ([]Orphan, error) {
	hunt := hunt{fs: &procfs{}, name: nameOf(owner), signal: signal, grace: grace}
	return hunt.run()
}

// hunt is one search for orphans.
type hunt struct {
	fs     *procfs
	name   uint32
	only   *uint16 // an instance; nil: all
	signal syscall.Signal
	grace  time.Duration
}

func (h *hunt) run() ([]Orphan, error) {
	start := time.Now()
	var ended []Orphan
	told := map[key]bool{}
	wait := firstLook
	for {
		found, ending, err := h.look()
		if err != nil {
			return ended, err
		}
		if len(found) == 0 && len(ending) == 0 {
			return ended, nil
		}
		passed := time.Since(start)
		for _, p := range found {
			if !told[p.key()] {
				told[p.key()] = true
				ended = append(ended, Orphan{PID: p.pid, Name: strings.TrimSpace(string(h.fs.read(p.pid, "comm")))})
				_ = h.fs.signal(p, h.signal)
			}
			if passed >= h.grace {
				_ = h.fs.signal(p, unix.SIGKILL)
			}
		}
		if passed > h.grace+lastTime || len(ending) == 0 && passed > h.grace+killTime {
			return ended, fmt.Errorf("processes %v can't be ended", append(pids(found), ending...))
		}
		time.Sleep(wait)
		wait = min(2*wait, longestHunt)
	}
}

// look returns the orphans, and the guardians that end theirs at present.
func (h *hunt) look() (orphans []proc, ending []int, err error) {
	procs, err := h.fs.all()
	if err != nil {
		return nil, nil, err
	}
	byPID := make(map[int]proc, len(procs))
	for _, p := range procs {
		byPID[p.pid] = p
	}
	spared := map[uint16]bool{}
	for _, p := range procs {
		g, ok := h.guardian(p)
		if !ok || g.id.name != h.name {
			continue
		}
		spared[g.id.instance] = true
		if owner, ok := byPID[g.owner.pid]; h.only == nil && (!ok || owner.started != g.owner.started || owner.zombie) {
			ending = append(ending, p.pid)
		}
	}
	marks := make(map[key]mark, len(procs))
	for _, p := range procs {
		m, known := h.fs.marks[p.key()]
		if !known {
			if m = h.fs.tag(p); m.name != h.name {
				if variable := h.fs.variable(p); variable.name == h.name {
					m = variable
				}
			}
		}
		marks[p.key()] = m
	}
	h.fs.marks = marks
	// Below a server of the one that has ended we may be the successor that it was started for: neither we nor what we come from is ended.
	var ancestors []int
	for pid := os.Getpid(); pid > 0 && !slices.Contains(ancestors, pid); pid = byPID[pid].parent {
		ancestors = append(ancestors, pid)
		if m := marks[byPID[pid].key()]; m.name == h.name && m.tree != 0 {
			spared[m.instance] = true
		}
	}
	var roots []int
	for _, p := range procs {
		m := marks[p.key()]
		if m.name != h.name || m.tree == 0 || spared[m.instance] || h.only != nil && *h.only != m.instance {
			continue
		}
		roots = append(roots, p.pid)
		if !p.zombie {
			orphans = append(orphans, p)
		}
	}
	return append(orphans, below(procs, roots...)...), ending, nil
}

// running is what the arguments of a guardian tell.
type running struct {
	id    id
	owner key
}

// guardian says whether a process is one. Its arguments can be read by everybody.
func (h *hunt) guardian(p proc) (running, bool) { return guardianOf(h.fs, p) }

func guardianOf(fs *procfs, p proc) (running, bool) {
	if p.zombie {
		return running{}, false
	}
	args := bytes.Split(bytes.TrimSuffix(fs.read(p.pid, "cmdline"), []byte{0}), []byte{0})
	if len(args) != arguments || string(args[0]) != processName {
		return running{}, false
	}
	name, err1 := strconv.ParseUint(string(args[1]), 16, 30)
	instance, err2 := strconv.ParseUint(string(args[2]), 16, 16)
	pid, err3 := strconv.Atoi(string(args[3]))
	started, err4 := strconv.ParseUint(string(args[4]), 10, 64)
	return running{id: id{name: uint32(name), instance: uint16(instance)}, owner: key{pid, started}},
		err1 == nil && err2 == nil && err3 == nil && err4 == nil
}

// instances returns the instances of a name that guardians or what they left use.
func instances(fs *procfs, name uint32) (map[uint16]bool, error) {
	procs, err := fs.all()
	if err != nil {
		return nil, err
	}
	used := map[uint16]bool{}
	for _, p := range procs {
		if g, ok := guardianOf(fs, p); ok && g.id.name == name {
			used[g.id.instance] = true
		}
		for _, m := range []mark{fs.tag(p), fs.variable(p)} {
			if m.name == name {
				used[m.instance] = true
			}
		}
	}
	return used, nil
}
