// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"sync"
	"time"
)

// sampleAge is how long one look at all processes serves everybody who asks: 200 servers that report at
// the same time cost one look.
const sampleAge = time.Second

// Usage is what the process tree of a server uses: its process group, and all descendants of the direct child.
type Usage struct {
	Processes int
	// CPU is the time used since the start, that of ended descendants included where their parents waited for them.
	CPU time.Duration
	// RSS is resident memory in bytes; pages that processes share count in each.
	RSS     int64
	Threads int
	// OpenFiles is -1 when it can't be read.
	OpenFiles int
}

// procStat is what we want to know of a process.
type procStat struct {
	pid, parent, group int
	zombie             bool
	cpu                time.Duration
	rss                int64
	threads            int
}

// sampler looks at the processes of the machine. Safe for concurrent use.
type sampler struct {
	mu       sync.Mutex
	at       time.Time
	byPID    map[int]*procStat
	byParent map[int][]*procStat
	byGroup  map[int][]*procStat
	trees    map[int]Usage // results of this look
}

// of returns what the tree of pid, the leader of a process group, used at the time that is returned;
// false when that can't be known.
func (s *sampler) of(pid int) (Usage, time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPID[pid] == nil || time.Since(s.at) > sampleAge {
		s.look()
	}
	if s.byPID[pid] == nil {
		return Usage{}, time.Time{}, false
	}
	usage, ok := s.trees[pid]
	if !ok {
		usage = s.tree(pid)
		s.trees[pid] = usage
	}
	return usage, s.at, true
}

func (s *sampler) look() {
	s.at = time.Now()
	stats := processes()
	s.byPID = make(map[int]*procStat, len(stats))
	s.byParent, s.byGroup, s.trees = map[int][]*procStat{}, map[int][]*procStat{}, map[int]Usage{}
	for i := range stats {
		p := &stats[i]
		s.byPID[p.pid] = p
		s.byParent[p.parent] = append(s.byParent[p.parent], p)
		s.byGroup[p.group] = append(s.byGroup[p.group], p)
	}
}

func (s *sampler) tree(root int) Usage {
	seen := map[int]bool{}
	todo := append([]*procStat{s.byPID[root]}, s.byGroup[root]...)
	var usage Usage
	for len(todo) > 0 {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[p.pid] {
			continue
		}
		seen[p.pid] = true
		todo = append(todo, s.byParent[p.pid]...)
		usage.CPU += p.cpu
		if p.zombie {
			continue
		}
		usage.Processes++
		usage.RSS += p.rss
		usage.Threads += p.threads
		if n := openFiles(p.pid); n < 0 || usage.OpenFiles < 0 {
			usage.OpenFiles = -1
		} else {
			usage.OpenFiles += n
		}
	}
	return usage
}
