// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// manyFiles is from how many files on one sync of the whole file system is cheaper than one for each.
const manyFiles = 16

// publisher makes sealed segments pending: fsync, rename, fsync of the folder. It takes all that wait at
// once, so that a thousand projects that fall idle together cost a few syncs.
type publisher struct {
	w    *Writer
	mu   sync.Mutex
	cond *sync.Cond // queue, busy or closed changed

	queue  []*openSegment
	failed []*openSegment // tried in vain; retry puts them back
	busy   bool
	closed bool
}

func newPublisher(w *Writer) *publisher {
	p := &publisher{w: w}
	p.cond = sync.NewCond(&p.mu)
	return p
}

func (p *publisher) add(s *openSegment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) >= manyFiles {
		s.closeFile() // a slow disk must not use up the descriptors; publishing opens it again
	}
	p.queue = append(p.queue, s)
	p.cond.Broadcast()
}

// retry gives what failed another chance.
func (p *publisher) retry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.failed) > 0 {
		p.queue = append(p.queue, p.failed...)
		p.failed = nil
		p.cond.Broadcast()
	}
}

// drain waits until everything that is queued was tried, and tries what has failed once more.
func (p *publisher) drain() {
	p.wait()
	p.retry()
	p.wait()
}

func (p *publisher) wait() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 || p.busy {
		p.cond.Wait()
	}
}

func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.cond.Broadcast()
}

func (p *publisher) unpublished() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.failed); n > 0 {
		return fmt.Errorf("jsonl: %d segments could not be published and stay %s in %q; the next start does it", n, SuffixOpen, p.w.o.Dir)
	}
	return nil
}

func (p *publisher) run() {
	defer p.w.loops.Done()
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.closed {
			p.cond.Wait()
		}
		if len(p.queue) == 0 {
			p.mu.Unlock()
			return
		}
		batch := p.queue
		p.queue, p.busy = nil, true
		p.mu.Unlock()

		failed, err := p.publish(batch)
		p.w.health.set(causePublish, err)

		p.mu.Lock()
		p.failed = append(p.failed, failed...)
		p.busy = false
		p.cond.Broadcast()
		p.mu.Unlock()
	}
}

// publish returns the segments that could not be published, and why.
func (p *publisher) publish(batch []*openSegment) (failed []*openSegment, err error) {
	w := p.w
	if len(batch) > manyFiles && w.timed(w.lock.syncAll) == nil {
		for _, s := range batch {
			s.mu.Lock()
			if s.st8 == stateGood {
				s.synced = s.written
			}
			s.mu.Unlock()
		}
	}
	dirs := map[string]bool{} // → the folder is new
	var done []*openSegment
	for _, s := range batch {
		published, perr := p.complete(s)
		switch {
		case perr != nil:
			w.log.Warn("Cannot publish a segment; will try again", zap.String("segment", s.path), zap.Error(perr))
			s.closeFile()
			failed = append(failed, s)
			err = errors.Join(err, fmt.Errorf("publish %s: %w", s.path, perr))
		case published:
			dirs[s.st.dir] = dirs[s.st.dir] || s.newDir
			done = append(done, s)
		}
	}
	// A name that is not on the disk yet costs nothing after a crash: the segment is open again, and recovered.
	if err := p.syncDirs(dirs); err != nil {
		w.log.Warn("Cannot sync the folder of a published segment", zap.Error(err))
	}
	for _, s := range done {
		w.o.Observer.Published(s.st.key.t)
	}
	return failed, err
}

func (p *publisher) syncDirs(dirs map[string]bool) error {
	if len(dirs) > manyFiles && p.w.timed(p.w.lock.syncAll) == nil {
		return nil
	}
	var errs error
	for dir, created := range dirs {
		if err := p.w.syncNames(dir, created); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// complete brings one segment to its final bytes and name. false without an error: there is nothing to publish.
func (p *publisher) complete(s *openSegment) (bool, error) {
	w := p.w
	if s.state() == stateLost {
		return false, p.lost(s)
	}
	if s.size == 0 {
		s.finish()
		err := w.fs.Remove(s.path)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return false, err
	}
	// Cuts a torn tail, and gives back what was reserved behind the end.
	if s.state() == stateTorn || s.reserved > s.size {
		if err := s.truncate(s.size); err != nil {
			return false, p.orLost(s, err)
		}
		s.reserved = 0
	}
	compact := s.state() == stateGood && s.wantsCompaction()
	if compact {
		if err := s.compact(); err != nil {
			w.log.Debug("A segment keeps its small frames", zap.String("segment", s.path), zap.Error(err))
			compact = false
		}
	}
	if !compact && s.state() != stateSuspect {
		s.mu.Lock()
		needed := s.synced < s.size
		if !w.o.Group {
			s.named = true // nobody waits for it alone: publish syncs the folder, once for all
		}
		s.mu.Unlock()
		if needed {
			if err := s.syncSealed(); err != nil {
				if errors.Is(err, os.ErrNotExist) {
					return false, p.lost(s)
				}
				w.log.Error("An fsync failed; the segment is published as a copy", zap.String("segment", s.path), zap.Error(err))
				s.setState(stateSuspect)
			}
		}
	}
	if s.state() == stateSuspect {
		if err := s.copyAside(); err != nil {
			return false, p.orLost(s, err)
		}
	}
	s.closeFile() // some systems don't rename what is open
	if err := w.fs.Rename(s.path, strings.TrimSuffix(s.path, suffixBusy)); err != nil {
		return false, p.orLost(s, err)
	}
	s.finish()
	return true, nil
}

// syncSealed is syncTo for a segment that nobody writes to any more; a torn one (cut by now) is as good as any.
func (s *openSegment) syncSealed() error {
	if s.state() == stateTorn {
		return s.sync(nil, true)
	}
	return s.syncTo(context.Background(), s.size)
}

func (p *publisher) orLost(s *openSegment, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		if _, serr := p.w.fs.Stat(s.path); errors.Is(serr, os.ErrNotExist) {
			return p.lost(s)
		}
	}
	return err
}

// lost gives a segment up that is no longer there.
func (p *publisher) lost(s *openSegment) error {
	p.w.log.Error("A segment was deleted or moved away before it was published; what it held is not in the folder any more",
		zap.String("segment", s.path), zap.Int64("bytes", s.size), zap.Int64("records", s.records))
	s.finish()
	return nil
}

func (s *openSegment) finish() {
	s.closeFile()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = s.st8 < stateSuspect
}

// LockName is the file in the base folder that a Writer holds the lock of.
const LockName = ".jsonl.lock"

const probeName = ".jsonl.probe"

// probe tries whether the folder can be written to.
func probe(fsys FS, dir string, size int) error {
	name := filepath.Join(dir, probeName)
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return err
	}
	if size > 0 {
		_, err = f.Write(make([]byte, size))
	}
	return errors.Join(err, f.Close(), fsys.Remove(name))
}
