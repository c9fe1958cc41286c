// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package lineproto

import "time"

// batchBytes ends the collecting of a batch; the queue that reaches it is taken whole.
const batchBytes = 1 << 20

// maxRuns bounds the runs that are remembered without a connection.
const maxRuns = 4096

// deliver hands out what has come while the batch before was delivered.
func (s *Server) deliver() {
	defer s.wg.Done()
	for {
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return
		}
		for {
			batch, sizes := s.collect()
			if len(batch) == 0 {
				break
			}
			if s.opt.Deliver(s.ctx, batch) != nil {
				return // ctx has ended
			}
			s.delivered(batch, sizes)
		}
	}
}

func (s *Server) collect() (batch []Group, sizes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil
	}
	size := 0
	for len(s.ready) > 0 && size < batchBytes {
		run := s.ready[0]
		s.ready[0] = nil
		s.ready = s.ready[1:]
		batch = append(batch, Group{Run: run, Items: run.queue})
		sizes = append(sizes, run.bytes)
		size += run.bytes
		run.queue, run.listed, run.busy = nil, false, true
	}
	return batch, sizes
}

func (s *Server) delivered(batch []Group, sizes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, group := range batch {
		group.Run.bytes -= sizes[i]
		group.Run.busy = false
		group.Run.drained.Broadcast()
	}
}

// watch finds the runs that are lost, and those to forget.
func (s *Server) watch() {
	defer s.wg.Done()
	every := min(s.opt.LostAfter, s.opt.Remember)/4 + time.Millisecond
	ticker := time.NewTicker(min(every, time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case now := <-ticker.C:
			for _, run := range s.sweep(now) {
				if s.opt.Forget != nil {
					s.opt.Forget(run)
				}
			}
		}
	}
}

func (s *Server) sweep(now time.Time) (forgotten []*Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	for id, run := range s.runs {
		if run.conn != nil {
			continue
		}
		gone := now.Sub(run.goneAt)
		if !run.ended && !run.lost && gone >= s.opt.LostAfter {
			run.lost = true
			s.enqueue(run, Item{Kind: KindLost, Time: now})
		}
		settled := (run.ended || run.lost) && len(run.queue) == 0 && !run.busy
		if settled && (gone >= s.opt.Remember || len(s.runs) > maxRuns) {
			delete(s.runs, id)
			forgotten = append(forgotten, run)
		}
	}
	return forgotten
}
