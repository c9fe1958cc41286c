// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ, 100 on all architectures that Go knows.
const clockTick = 10 * time.Millisecond

// processes returns all processes that are visible to us.
func processes() []procStat {
	names := processIDs()
	all := make([]procStat, 0, len(names))
	for _, name := range names {
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // ended meanwhile
		}
		if p, ok := parseStat(stat); ok {
			all = append(all, p)
		}
	}
	return all
}

func processIDs() []string {
	folder, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil
	}
	ids := names[:0]
	for _, name := range names {
		if name[0] >= '0' && name[0] <= '9' {
			ids = append(ids, name)
		}
	}
	return ids
}

// parseStat reads /proc/<pid>/stat: pid (name) state ppid pgrp …, where the name may hold anything.
func parseStat(stat []byte) (procStat, bool) {
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 1 || end < open {
		return procStat{}, false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(stat[:open])))
	fields := bytes.Fields(stat[end+1:])
	// The state is the third field of proc(5), and the first one here.
	const state, ppid, pgrp, utime, cstime, threads, rss = 0, 1, 2, 11, 14, 17, 21
	if err != nil || len(fields) <= rss {
		return procStat{}, false
	}
	ok := true
	number := func(i int) int64 {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		ok = ok && err == nil
		return n
	}
	p := procStat{
		pid: pid, parent: int(number(ppid)), group: int(number(pgrp)),
		zombie: fields[state][0] == 'Z' || fields[state][0] == 'X',
		rss:    number(rss) * int64(os.Getpagesize()), threads: int(number(threads)),
	}
	// Its own time, and that of the children that it has waited for.
	for i := utime; i <= cstime; i++ {
		p.cpu += time.Duration(number(i)) * clockTick
	}
	return p, ok
}

// openFiles counts the file descriptors of a process; -1 when that is not ours to know.
func openFiles(pid int) int {
	path := "/proc/" + strconv.Itoa(pid) + "/fd"
	// Since Linux 6.2 the size of the folder is the count.
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return int(info.Size())
	}
	folder, err := os.Open(path)
	if err != nil {
		return -1
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names)
}
