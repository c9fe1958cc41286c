// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package tailws

import "github.com/tailrace/tailrace/internal/livetail/tailv1"

// notice is what clients of tailrace.v1 are told without having asked.
type notice struct {
	number        uint64
	code, message string
	standing      bool // those that connect later are told too
}

// Notice tells all clients of tailrace.v1 something, and with standing those that connect until the next notice.
func (s *Server) Notice(code, message string, standing bool) {
	s.mu.Lock()
	s.notice = notice{s.notice.number + 1, code, message, standing}
	n := s.notice
	s.mu.Unlock()
	for _, c := range s.all(nil) {
		if c, ok := c.(*conn); ok {
			c.level.notice(n)
		}
	}
}

func (s *Server) lastNotice() notice {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notice
}

// notice implements level. Nothing comes before the greeting, which looks for what stands.
func (l *streamLevel) notice(n notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.greeted && n.number > l.told {
		l.told = n.number
		l.stream.Send(tailv1.Notice(n.code, n.message))
	}
}

func (l *streamLevel) noticeStanding(s *Server) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.greeted = true
	n := s.lastNotice()
	l.told = n.number
	if n.standing {
		l.stream.Send(tailv1.Notice(n.code, n.message))
	}
}

// notice implements level: the classic protocol has no such message.
func (*classicLevel) notice(notice) {}
