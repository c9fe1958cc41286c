// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// orders are what the load does, in its command line.
type orders struct {
	Way         string `json:"way"`
	Address     string `json:"address"`
	Subscribers int    `json:"subscribers"`
	Idle        int    `json:"idle"`
	Stalled     int    `json:"stalled"`
	Deflate     bool   `json:"deflate"`
	Turns       int    `json:"turns"` // pairs of them
}

// loadResult is what the load saw.
type loadResult struct {
	Delivered, Frames, Bytes int64
	P50, P99                 float64
	Turns                    []turn
}

// process is a child that is told lines and answers lines.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, args...)}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	return p, p.cmd.Start()
}

func (p *process) ask(line string) (string, error) {
	if line != "" {
		if _, err := io.WriteString(p.in, line+"\n"); err != nil {
			return "", err
		}
	}
	answer, err := p.out.ReadString('\n')
	return strings.TrimSpace(answer), err
}

func (p *process) number(line string) (int, error) {
	answer, err := p.ask(line)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(answer)
}

func (p *process) end() error {
	return errors.Join(p.in.Close(), p.cmd.Wait())
}

func (p *process) rss() int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n
		}
	}
	return 0
}

// cpu is user and system time in seconds.
func (p *process) cpu() float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

func measure(way string, s scenario) (r result, err error) {
	if err := openFiles(s.subscribers + s.idle + s.stalled); err != nil {
		return r, err
	}
	server, err := start("-serve", way)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, server.end()) }()
	address, err := server.ask("")
	if err != nil {
		return r, err
	}
	r = result{Scenario: s.name, Way: way, Connections: s.subscribers + s.idle + s.stalled}
	if _, err = server.ask("collect"); err != nil {
		return r, err
	}
	r.RSSBefore = server.rss()
	if s.name == "soak" {
		r.Soak = &soak{}
		if r.Soak.GoroutinesBase, err = server.number("goroutines"); err != nil {
			return r, err
		}
	}
	raw, err := json.Marshal(orders{way, address, s.subscribers, s.idle, s.stalled, s.deflate, s.turns})
	if err != nil {
		return r, err
	}
	load, err := start("-load", string(raw))
	if err != nil {
		return r, err
	}
	defer func() {
		err = errors.Join(err, load.end())
		if err == nil && r.Soak != nil {
			err = r.Soak.settle(server)
		}
	}()
	if _, err = load.ask(""); err != nil { // all are subscribed
		return r, err
	}
	if _, err = server.ask("collect"); err != nil {
		return r, err
	}
	r.RSSIdle = server.rss()
	before, began := server.cpu(), time.Now()
	if r.Soak != nil {
		r.Published, err = r.Soak.publish(server, s)
	} else {
		r.Published, err = server.number(fmt.Sprintf("publish %d %s", s.rate, s.length))
	}
	if err != nil {
		return r, err
	}
	r.Expected = int64(r.Published) * int64(s.subscribers)
	answer, err := load.ask(fmt.Sprintf("wait %d", r.Expected))
	if err != nil {
		return r, err
	}
	r.Seconds, r.CPU, r.RSSEnd = time.Since(began).Seconds(), server.cpu()-before, server.rss()
	var l loadResult
	if err := json.Unmarshal([]byte(answer), &l); err != nil {
		return r, fmt.Errorf("%q: %w", answer, err)
	}
	r.Delivered, r.Frames, r.BytesRead, r.P50, r.P99 = l.Delivered, l.Frames, l.Bytes, l.P50, l.P99
	r.Turns = l.Turns
	return r, nil
}

// openFiles fails when this shell does not allow so many connections. The server has all of them, so that more processes of the load would
// not help.
func openFiles(connections int) error {
	const others = 64
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(connections + others); limit.Max < need {
		return fmt.Errorf("%d connections need %d open files in a process, and the hard limit is %d: raise it (ulimit -Hn %d), or hold fewer (-idle, -busy; of make: IDLE, BUSY)",
			connections, need, limit.Max, need)
	}
	return nil
}

// median is the run whose p99, or memory where nothing was published, is in the middle.
func median(all []result) result {
	slices.SortFunc(all, func(a, b result) int {
		if a.Published == 0 {
			return int(a.RSSIdle - b.RSSIdle)
		}
		return int((a.P99 - b.P99) * 1000)
	})
	return all[len(all)/2]
}
