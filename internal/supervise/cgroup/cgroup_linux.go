// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Parent is a control group below which others are made.
type Parent struct {
	path string
	v2   bool
}

// Group is a control group with a limit of memory. Not safe for concurrent use.
type Group struct {
	path string
	v2   bool
}

// Find returns the group that configured names, or, where that is empty, the one that suits. The error says what to do.
func Find(configured string) (Parent, error) {
	if configured != "" {
		return named(configured)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return Parent{}, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Parent{}, err
	}
	return find(mounts, own)
}

func named(path string) (Parent, error) {
	if exists(path, "cgroup.controllers") {
		return Parent{path: path, v2: true}, nil
	}
	if exists(path, "memory.limit_in_bytes") {
		return Parent{path: path}, nil
	}
	return Parent{}, fmt.Errorf("%s is not a control group for memory", path)
}

// find reads the texts of /proc. The controller of memory is in one version only.
func find(mounts, own []byte) (Parent, error) {
	for _, v2 := range []bool{false, true} {
		path, ok := membership(own, v2)
		if !ok {
			continue
		}
		folder, ok := mounted(mounts, path, v2)
		if !ok {
			continue
		}
		p := Parent{path: folder, v2: v2}
		if above := filepath.Dir(folder); v2 && !p.enabled() && delegated(above) {
			p.path = above
		}
		return p, nil
	}
	return Parent{}, errors.New("this system has no control groups for memory that can be seen in /sys/fs/cgroup")
}

// membership finds our group in the text of /proc/self/cgroup: lines of hierarchy:controllers:path.
func membership(text []byte, v2 bool) (string, bool) {
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if v2 && parts[0] == "0" && parts[1] == "" || !v2 && slices.Contains(strings.Split(parts[1], ","), "memory") {
			return parts[2], true
		}
	}
	return "", false
}

// mounted finds the folder of a group in the text of /proc/self/mountinfo:
// id parent major:minor root point options [optional …] - type source super-options.
func mounted(text []byte, group string, v2 bool) (string, bool) {
	for line := range strings.Lines(string(text)) {
		left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
		before, after := strings.Fields(left), strings.Fields(right)
		if !ok || len(before) < 5 || len(after) < 3 {
			continue
		}
		if v2 && after[0] != "cgroup2" || !v2 && (after[0] != "cgroup" || !slices.Contains(strings.Split(after[2], ","), "memory")) {
			continue
		}
		root, point := unescape(before[3]), unescape(before[4])
		// A container may see only a part of the tree.
		rest, err := filepath.Rel(root, group)
		if err != nil || rest == ".." || strings.HasPrefix(rest, "../") {
			continue
		}
		return filepath.Join(point, rest), true
	}
	return "", false
}

// unescape undoes \040 and the like.
func unescape(s string) string {
	for _, c := range []byte(" \t\n\\") {
		s = strings.ReplaceAll(s, fmt.Sprintf(`\%03o`, c), string(c))
	}
	return s
}

// delegated says whether systemd gave a group to the user of the process in it, who may make groups there.
func delegated(path string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(path, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

func exists(folder, name string) bool {
	_, err := os.Stat(filepath.Join(folder, name))
	return err == nil
}

// enabled says whether groups below may be limited. It is always so with version 1.
func (p Parent) enabled() bool {
	controllers, err := os.ReadFile(filepath.Join(p.path, "cgroup.subtree_control"))
	return !p.v2 || err == nil && slices.Contains(strings.Fields(string(controllers)), "memory")
}

const help = "with systemd (254 or newer), Delegate=memory and DelegateSubgroup=collector in the unit of the collector allow it; " +
	"elsewhere name a group that the collector may use in guardian::cgroup"

// Create makes a group whose processes have at most limit bytes of memory together. The name must be one of our own. The error says what to do.
func (p Parent) Create(name string, limit uint64) (*Group, error) {
	if !p.enabled() {
		if err := write(filepath.Join(p.path, "cgroup.subtree_control"), "+memory"); err != nil {
			return nil, fmt.Errorf("the memory of groups below can't be limited: %w; %s", err, help)
		}
	}
	g := &Group{path: filepath.Join(p.path, name), v2: p.v2}
	_ = os.Remove(g.path) // an empty one of somebody who is gone
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, fmt.Errorf("%w; %s", err, help)
	}
	if err := g.limit(limit); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

func (g *Group) limit(bytes uint64) error {
	file := "memory.limit_in_bytes"
	if g.v2 {
		file = "memory.max"
	}
	if err := write(filepath.Join(g.path, file), strconv.FormatUint(bytes, 10)); err != nil {
		return err
	}
	if g.v2 {
		// All of it is killed, or nothing: half a tree helps nobody. Known since Linux 4.19.
		if err := write(filepath.Join(g.path, "memory.oom.group"), "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Add moves a process into the group. What it starts from then on belongs to the group, too.
func (g *Group) Add(pid int) error {
	return write(filepath.Join(g.path, "cgroup.procs"), strconv.Itoa(pid))
}

// Killed says whether the kernel has killed a process of the group because of the limit.
func (g *Group) Killed() bool {
	file := "memory.oom_control"
	if g.v2 {
		file = "memory.events"
	}
	text, err := os.ReadFile(filepath.Join(g.path, file))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		if count, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("oom_kill ")); ok {
			return string(count) != "0"
		}
	}
	return false
}

// Remove removes a group without processes.
func (g *Group) Remove() error {
	err := os.Remove(g.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Sweep removes the groups with a name that stale knows, and that have no processes.
func (p Parent) Sweep(stale func(name string) bool) {
	entries, _ := os.ReadDir(p.path)
	for _, e := range entries {
		if e.IsDir() && stale(e.Name()) {
			_ = os.Remove(filepath.Join(p.path, e.Name())) // EBUSY where it has processes
		}
	}
}

// write does not create the file: in this file system they are there or not.
func write(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
