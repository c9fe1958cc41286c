// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Left is a spool that a run left behind.
type left struct {
	dir  string
	size int64
	at   time.Time
}

// Flush sends what runs that have ended left in the folder of their spools, for the same target, one after the other, the oldest first.
// Of what is more than SpoolBytes in all, the oldest spools are removed first. It returns how many spools were sent whole, and the
// error of the first that could not be: the collector is away then.
func Flush(ctx context.Context, opt ClientOptions) (sent int, err error) {
	entries, err := os.ReadDir(opt.SpoolDir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var all []left
	var total int64
	for _, entry := range entries {
		if !entry.IsDir() || !validULID(entry.Name()) {
			continue
		}
		l := left{dir: filepath.Join(opt.SpoolDir, entry.Name())}
		files, _ := filepath.Glob(filepath.Join(l.dir, segmentGlob))
		for _, file := range files {
			if info, err := os.Stat(file); err == nil {
				l.size += info.Size()
			}
		}
		if info, err := entry.Info(); err == nil {
			l.at = info.ModTime()
		}
		total += l.size
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b left) int { return cmp.Compare(a.dir, b.dir) }) // ULIDs: by their time
	for _, l := range all {
		if ctx.Err() != nil {
			return sent, ctx.Err()
		}
		lock, err := lockDir(l.dir)
		if err != nil {
			continue // it runs, or somebody else sends it
		}
		removed, done := false, false
		if total > opt.SpoolBytes {
			total -= l.size
			removed = true
		} else {
			done, err = flushOne(ctx, opt, l)
		}
		if removed || done {
			_ = os.RemoveAll(l.dir)
		}
		_ = lock.Close()
		if done {
			sent++
		}
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// flushOne sends a spool, whose lock is held. done says that nothing of it is needed any more.
func flushOne(ctx context.Context, opt ClientOptions, l left) (done bool, err error) {
	b, err := os.ReadFile(filepath.Join(l.dir, infoFile))
	if err != nil {
		// Killed before it had printed anything; a moment ago it may be about to begin.
		return l.size == 0 && time.Since(l.at) > time.Minute, nil
	}
	var info runInfo
	if json.Unmarshal(b, &info) != nil || info.Hello.check() != nil || info.Target != opt.Target {
		return false, nil
	}
	s, err := openSpool(l.dir)
	if err != nil {
		return false, nil // another one may be readable
	}
	defer s.close()
	if !s.ended() {
		seq := s.last + 1
		at := time.Now().UnixNano()
		s.append(appendEvent(nil, seq, at, Event{
			Name: EventLost, Code: -1, Reason: "tailctl run was killed, and did not see how the command ended",
		}), seq, seq)
	}
	info.Hello.Over = true
	sending := newSender(s, opt.Dial, info.Hello, opt.Token, opt.Logger)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sending.run(ctx)
	}()
	sending.drain(ctx)
	cancel()
	<-ended
	if s.pending() {
		return false, errors.New("the collector does not take it")
	}
	return true, nil
}

// ended says whether the last message is that of the end. The lines behind the one that was acknowledged last may be
// gone, then nothing is pending either.
func (s *spool) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segs) == 0 {
		return false
	}
	seg := s.segs[len(s.segs)-1]
	tail := make([]byte, min(seg.size, 64<<10))
	if _, err := seg.file.ReadAt(tail, seg.size-int64(len(tail))); err != nil {
		return false
	}
	tail = tail[:max(len(tail)-1, 0)]
	var m message
	if json.Unmarshal(tail[lastLine(tail):], &m) != nil {
		return false
	}
	return m.Type == typeEvent && final(m.Event)
}

// lastLine returns where the last line of b begins.
func lastLine(b []byte) int {
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] == '\n' {
			return i + 1
		}
	}
	return 0
}
