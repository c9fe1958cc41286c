// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// Restart says what happens when a process ends by itself.
type Restart string

// The restart policies. A command that can't be started counts as a failure.
const (
	RestartNever     Restart = "never"
	RestartOnFailure Restart = "on_failure" // exit code other than 0, or ended by a signal
	RestartAlways    Restart = "always"
)

// Server describes one process to run.
type Server struct {
	Source *Source
	// Name is how messages call the server, such as "servers[1] (shop-web-1)".
	Name string
	// Command is the program and its arguments. A program without a slash is looked up in the PATH of Env;
	// a relative one with a slash is relative to Dir.
	Command []string
	Dir     string // empty: that of this process
	Env     []string
	// EnvFile is read at each start; its variables win over those of Env but the ones that EnvFixed names.
	EnvFile  string
	EnvFixed []string
	// EnvFileSum stands for what EnvFile holds, for Apply: another one is another process.
	EnvFileSum string
	Rights     Rights
	// AssignPort hands a port of Options.Ports over as PORT, which wins over all others.
	AssignPort bool
	// DependsOn is waited for before the first start. It must name other servers, and make no circle.
	// At the end a server is stopped after those that depend on it.
	DependsOn []Dependency
	// StopSignal and GracePeriod replace those of Options; 0 and nil don't.
	StopSignal  syscall.Signal
	GracePeriod *time.Duration
	Restart     Restart
	// Health is nil when a running server counts as healthy.
	Health *HealthCheck
	// DropOldest drops the oldest waiting lines when BufferBytes are full; else the server waits.
	DropOldest bool
}

// Options configure a Supervisor. All fields but Builds, Owner, OrphanGrace, OnFailure, RestartLimit, Ports and ReportInterval are needed.
type Options struct {
	Servers []Server
	Builds  []Build
	// MaxBuilds is how many builds run at the same time; less than 1 is 1.
	MaxBuilds int
	// StopSignal asks a process group to end; GracePeriod later it is killed.
	StopSignal  syscall.Signal
	GracePeriod time.Duration
	// Owner is the name by which what we leave when we and the guardian are killed is found and ended at the next start; empty: it isn't.
	Owner string
	// OrphanGrace is the time from our end, however it comes, to SIGKILL for what still runs.
	OrphanGrace time.Duration
	// DrainTimeout is how long Stop waits, after the processes have ended, for the Sink to accept the rest.
	DrainTimeout time.Duration
	MaxLineBytes int
	// BufferBytes bounds the lines of one server that wait for the Sink.
	BufferBytes int
	Backoff     Backoff
	// RestartLimit gives a server up that starts again and again.
	RestartLimit RestartLimit
	Ports        PortRange
	// ReportInterval is the time between two events that repeat the health of a running server and tell what it
	// uses; 0: never.
	ReportInterval time.Duration
	Logger         *zap.Logger
	// OnFailure is told of a failure of a server (a failed start, an unwanted end), and with nil when it
	// runs again or is not wanted any more. Called by the goroutines of the servers; it must not call the Supervisor.
	OnFailure func(server *Source, err error)
}

// endOf says how the process of a spec is asked to end, and how long that may take.
func (o *Options) endOf(spec Server) (syscall.Signal, time.Duration) {
	grace := o.GracePeriod
	if spec.GracePeriod != nil {
		grace = *spec.GracePeriod
	}
	return cmp.Or(spec.StopSignal, o.StopSignal), grace
}

// Backoff is the wait before a restart: Initial, doubled with each failure up to Max, and spread by up
// to a tenth. A process that ran for at least Reset starts over.
type Backoff struct {
	Initial, Max, Reset time.Duration
}

// delay returns the wait before the n-th restart in a row, n from 0.
func (b Backoff) delay(n int) time.Duration {
	d := b.Initial
	for ; n > 0 && d < b.Max; n-- {
		d *= 2
	}
	d = min(d, b.Max)
	return d + time.Duration(rand.Int64N(int64(d)/10+1))
}

// RestartLimit allows Count restarts within Window; Count 0: any number.
type RestartLimit struct {
	Count  int
	Window time.Duration
}

// limiter remembers the restarts of one server.
type limiter struct{ restarts []time.Time }

// reached says whether the limit forbids a restart now, and counts it otherwise.
func (l *limiter) reached(limit RestartLimit, now time.Time) bool {
	if limit.Count == 0 {
		return false
	}
	l.restarts = slices.DeleteFunc(l.restarts, func(at time.Time) bool { return now.Sub(at) >= limit.Window })
	if len(l.restarts) >= limit.Count {
		return true
	}
	l.restarts = append(l.restarts, now)
	return false
}

// check finds out why a command can't be started and where its program is. A failing exec would name
// the program only, and not say whether the program or the folder is missing.
func (s Server) check(env []string) (string, error) {
	if s.Dir != "" {
		info, err := os.Stat(s.Dir)
		if err != nil {
			return "", fmt.Errorf("dir: %w", err)
		}
		if !info.IsDir() {
			return "", fmt.Errorf("dir: %s is not a folder", s.Dir)
		}
	}
	path, err := lookPath(s.Command[0], s.Dir, env)
	if err != nil {
		return "", fmt.Errorf("command: %w", err)
	}
	return path, nil
}

var errNotExecutable = errors.New("is a folder or not executable")

// lookPath finds a program in the PATH that the child will have, which need not be ours.
func lookPath(program, dir string, env []string) (string, error) {
	if strings.ContainsRune(program, '/') {
		path := program
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if err := executable(path); err != nil {
			return "", err
		}
		return filepath.Abs(path)
	}
	var path string
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	found := fmt.Errorf("%q was not found in the PATH of the server", program)
	for _, folder := range filepath.SplitList(path) {
		// A relative entry would mean something else in each working folder.
		if !filepath.IsAbs(folder) {
			continue
		}
		candidate := filepath.Join(folder, program)
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if errors.Is(err, errNotExecutable) {
			found = err
		}
	}
	return "", found
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Mode().Perm()&0o111 == 0 {
		return fmt.Errorf("%s %w", path, errNotExecutable)
	}
	return nil
}
