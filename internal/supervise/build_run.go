// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package supervise

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// outcomeOfBuild says how a run, or one command of it, ended; an empty phase: well.
type outcomeOfBuild struct {
	phase  string
	reason string
	exit   *Exit
}

// run is one run, from the end of the waiting.
func (b *build) run() {
	defer b.sup.servers.Done()
	end := b.steps()
	log := b.log().With(zap.Duration("took", time.Since(b.started)))
	switch end.phase {
	case "":
		end.phase = BuildSucceeded
		log.Info("Build has succeeded")
	case BuildFailed:
		log.Warn("Build has failed", zap.String("reason", end.reason))
	default:
		log.Info("Build was cancelled", zap.String("reason", end.reason))
	}
	b.sup.mu.Lock()
	defer b.sup.mu.Unlock()
	b.free()
	b.finish(end)
	b.sup.dispatch()
}

// free lets the next build run. Needs Supervisor.mu.
func (b *build) free() {
	if b.holds {
		b.holds = false
		b.sup.building--
	}
}

func (b *build) log() *zap.Logger { return b.sup.opts.Load().Logger.With(zap.String("build", b.id)) }

// change runs f under the lock of the supervisor.
func (b *build) change(f func()) {
	b.sup.mu.Lock()
	defer b.sup.mu.Unlock()
	f()
}

func (b *build) steps() outcomeOfBuild {
	var limit <-chan time.Time
	if b.spec.Timeout > 0 {
		timer := time.NewTimer(b.spec.Timeout)
		defer timer.Stop()
		limit = timer.C
	}
	b.log().Info("Build begins")
	b.change(func() { b.enter(BuildBuilding, "is building", "") })
	end := b.command("command", b.spec.Command, limit)
	if end.phase != "" || len(b.spec.Deploy)+len(b.spec.Deploys) == 0 {
		b.change(func() { b.ready = end.phase == "" })
		return end
	}
	b.change(func() {
		b.took = time.Since(b.started)
		b.enter(BuildDeploying, "is deploying", "")
	})
	if len(b.spec.Deploy) > 0 {
		if end = b.command("deploy", b.spec.Deploy, limit); end.phase != "" {
			return end
		}
	}
	b.change(func() {
		b.ready = true // for servers that wait for this build, and that it waits for now
		b.notify()
		// They may wait for builds that are still in the queue.
		b.free()
		b.sup.dispatch()
	})
	if failed := b.startServers(limit); failed.phase != "" {
		return failed
	}
	return end
}

// command runs one program to its end.
func (b *build) command(key string, command []string, limit <-chan time.Time) outcomeOfBuild {
	fail := func(err error) outcomeOfBuild {
		return outcomeOfBuild{phase: BuildFailed, reason: fmt.Sprintf("%s could not be started: %s", key, err)}
	}
	spec := Server{
		Source: b.spec.Source, Name: b.spec.Name, Command: command, Dir: b.spec.Dir,
		Env: b.spec.Env, EnvFile: b.spec.EnvFile, EnvFixed: b.spec.EnvFixed, Rights: b.spec.Rights,
	}
	as, err := spec.Rights.account()
	if err != nil {
		return fail(err)
	}
	env, err := spec.environ(as.variables)
	if err != nil {
		return fail(err)
	}
	path, err := spec.check(env)
	if err != nil {
		return fail(err)
	}
	select {
	case <-b.stop: // before the process is there
		return b.cancelled()
	default:
	}
	p, pipes, err := startProcess(spec, path, env, as, b.sup.opts.Load(), b.sup.starter)
	if err != nil {
		return fail(err)
	}
	b.change(func() { b.pid = p.pid })
	b.sup.running.Add(1)
	defer b.sup.running.Add(-1)
	options := b.sup.opts.Load()
	var readers [2]*reader
	for i, stream := range []Stream{Stdout, Stderr} {
		readers[i] = newReader(pipes[i], stream, p.pid, options.MaxLineBytes, b.sup.outlet, b.queue, &b.sup.streams[i])
	}
	p.read(readers)

	end := b.watch(p, limit)
	// Also when it has ended by itself. The options may have changed since.
	if err = p.stop(b.sup.opts.Load().endOf(spec)); err != nil {
		b.log().Warn("Not all processes of the build could be ended", zap.Int("pid", p.pid), zap.Error(err))
	}
	if p.finish() {
		b.log().Warn("A process that could not be ended kept the output of the build open; what it prints from now on is lost",
			zap.Int("pid", p.pid))
	}
	status := p.tree.status()
	end.exit = &status.exit
	if end.phase == "" && status.exit.Code != 0 {
		end.phase, end.reason = BuildFailed, fmt.Sprintf("%s %s", key, status)
	}
	return end
}

// watch stays until the command has ended or has to.
func (b *build) watch(p *process, limit <-chan time.Time) outcomeOfBuild {
	select {
	case <-p.exited:
		return outcomeOfBuild{}
	case <-limit:
		return b.timeout()
	case <-b.stop:
		return b.cancelled()
	}
}

func (b *build) timeout() outcomeOfBuild {
	return outcomeOfBuild{phase: BuildFailed, reason: fmt.Sprintf("it did not end within %s (timeout)", b.spec.Timeout)}
}

func (b *build) cancelled() outcomeOfBuild {
	b.sup.mu.Lock()
	defer b.sup.mu.Unlock()
	return outcomeOfBuild{phase: BuildCancelled, reason: b.why}
}

// startServers starts what the build deploys, all at the same time, and stays until it runs.
func (b *build) startServers(limit <-chan time.Time) outcomeOfBuild {
	var started []*server
	var unknown string
	b.change(func() {
		if b.sup.stopping {
			return
		}
		for _, id := range b.spec.Deploys {
			server := b.sup.server(id)
			if server == nil {
				unknown = id
				continue
			}
			server.deploy("build " + b.id + " deploys it")
			started = append(started, server)
		}
	})
	if unknown != "" {
		return outcomeOfBuild{phase: BuildFailed, reason: fmt.Sprintf("deploys: there is no server %s any more", unknown)}
	}
	for _, server := range started {
		for {
			// First, so that no change after the look is missed.
			changed := server.live.waitNow()
			stats := server.stats()
			if stats.State == StateRunning && server.present() {
				break
			}
			failed := slices.Contains([]string{StateFailed, StateBackoff, StateStopped}, stats.State)
			if failed && stats.Settled || server.live.isGone() {
				return outcomeOfBuild{phase: BuildFailed, reason: fmt.Sprintf("deploys: server %s is %s: %s", server.id, stats.State, stats.Reason)}
			}
			if stats.State == StateExited && stats.Settled {
				break // it has run
			}
			select {
			case <-changed:
			case <-limit:
				return b.timeout()
			case <-b.stop:
				return b.cancelled()
			}
		}
	}
	return outcomeOfBuild{}
}

// deploy starts the server, stopped before if it runs. One that still waits for its first start goes on to do so.
// Needs Supervisor.mu.
func (s *server) deploy(why string) {
	s.live.mu.Lock()
	waits := !s.live.ran && !s.live.over && s.live.state == StateWaiting
	s.live.mu.Unlock()
	if waits {
		return
	}
	s.ask(true, why, func(w *wanted) {
		w.run = true
		w.turn++
	})
}

// present says that the present life is the one that was asked for last.
func (s *server) present() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want.turn == s.lived && s.active && !s.ending
}

func (l *live) waitNow() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wait()
}

func (l *live) isGone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removed
}
