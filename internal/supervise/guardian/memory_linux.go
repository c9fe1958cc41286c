// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package guardian

import (
	"slices"
	"strings"
	"time"

	"github.com/tailrace/tailrace/internal/supervise/cgroup"
)

const (
	// A group can be removed a moment after its last process has ended, and not before: one that can't be ended keeps it.
	groupWait = 100 * time.Millisecond
	// lastGroupWait bounds what the guardian waits for that at its own end; its successor removes the rest.
	lastGroupWait = 500 * time.Millisecond
)

// groupPrefix begins the names of all groups that guardians make; the mark of the tree follows.
const groupPrefix = "tailrace-"

// limitMemory makes the group of a tree, where it has a limit. With the first one, what guardians of the same name left is removed.
func (w *ward) limitMemory(c *command, tree int) (*cgroup.Group, error) {
	if c.Memory == 0 {
		return nil, nil
	}
	parent, err := cgroup.Find(c.Cgroup)
	if err != nil {
		return nil, err
	}
	if !w.swept[parent] {
		if w.swept == nil {
			w.swept = map[cgroup.Parent]bool{}
		}
		w.swept[parent] = true
		if living, err := w.namesakes(); err == nil {
			parent.Sweep(func(name string) bool { return w.stale(name, living) })
		}
	}
	return parent.Create(groupPrefix+w.mark(tree), c.Memory)
}

// namesakes returns the instances of our name that live: what holds the processes of one that does not is not to be removed anyway.
func (w *ward) namesakes() (map[uint16]bool, error) {
	fs := &procfs{}
	procs, err := fs.all()
	living := map[uint16]bool{}
	for _, p := range procs {
		if g, ok := guardianOf(fs, p); ok && g.id.name == w.name {
			living[g.id.instance] = true
		}
	}
	return living, err
}

// stale says whether a group is one of a guardian of our name that does not live any more.
func (w *ward) stale(name string, living map[uint16]bool) bool {
	text, ok := strings.CutPrefix(name, groupPrefix)
	if !ok {
		return false
	}
	m, ok := parseMark(text)
	return ok && m.name == w.name && !living[m.instance]
}

// discard is called when nothing uses the group of a tree any more; it may be nil.
func (w *ward) discard(g *cgroup.Group) {
	if g != nil {
		w.groups = append(w.groups, g)
	}
}

// removeGroups reports whether some are left.
func (w *ward) removeGroups() bool {
	w.groups = slices.DeleteFunc(w.groups, func(g *cgroup.Group) bool { return g.Remove() == nil })
	return len(w.groups) > 0
}

func (w *ward) lastGroups() {
	for end := time.Now().Add(lastGroupWait); w.removeGroups() && time.Now().Before(end); {
		time.Sleep(firstLook)
	}
}
