// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"net"
	"strconv"
	"sync"
)

// PortRange is where servers with AssignPort get their ports from, both ends included.
type PortRange struct{ From, To int }

// ports gives each server a port of its own. Safe for concurrent use.
type ports struct {
	of    PortRange
	mu    sync.Mutex
	taken map[int]*server
}

// assign returns a port on which nobody listens: the last one of the server when it still can. Until the
// server listens itself, only other servers of this supervisor are kept away from it.
func (p *ports) assign(s *server) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.port != 0 {
		if p.of.From <= s.port && s.port <= p.of.To && portFree(s.port) {
			return s.port, nil
		}
		delete(p.taken, s.port)
	}
	for port := p.of.From; port <= p.of.To; port++ {
		if p.taken[port] == nil && portFree(port) {
			if p.taken == nil {
				p.taken = map[int]*server{}
			}
			p.taken[port] = s
			return port, nil
		}
	}
	return 0, fmt.Errorf("ports: none from %d to %d is free", p.of.From, p.of.To)
}

// setRange changes what the next assignments choose from.
func (p *ports) setRange(of PortRange) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of = of
}

// release gives the ports of a server back.
func (p *ports) release(s *server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, owner := range p.taken {
		if owner == s {
			delete(p.taken, port)
		}
	}
}

// portFree tries all addresses, because a server may listen on any.
func portFree(port int) bool {
	listener, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}
