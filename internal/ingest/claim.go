// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// claimInterval is the time between two attempts to take over a folder.
const claimInterval = 250 * time.Millisecond

var errStopped = errors.New("it is being shut down")

// held are the state folders that engines of this process hold: a second one would wait for the first for ever, which
// can only be a mistake in the configuration.
var held sync.Map

// stateLock is the right to use a state folder. The system gives it back when the process ends.
type stateLock struct {
	f   *os.File
	key string
}

func (l *stateLock) release() {
	held.Delete(l.key)
	_ = l.f.Close()
}

// inUseError says that somebody else has the lock.
type inUseError struct {
	dir, holder string
	state       string // the holder's state folder; empty when it is not known
	ours        bool   // it is an engine of this process
}

func (e *inUseError) Error() string {
	return fmt.Sprintf("state_path: %q is in use by %s; two receivers on one folder would load everything twice: "+
		"stop the other one, or give this one another path", e.dir, e.holder)
}

// lock takes the lock of a state folder and writes into it who holds it, and where its state is.
func lock(dir, place string) (*stateLock, error) {
	name := filepath.Join(dir, "lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("state_path: %w", err)
	}
	key, err := filepath.EvalSymlinks(name)
	if err != nil {
		key = name
	}
	if abs, err := filepath.Abs(key); err == nil {
		key = abs
	}
	ok, err := tryLock(f)
	if err == nil && ok {
		host, _ := os.Hostname()
		_ = f.Truncate(0)
		_, err = f.WriteAt(fmt.Appendf(nil, "process %d on %s since %s\nstate %s\n", os.Getpid(), host,
			time.Now().UTC().Format(time.RFC3339), place), 0)
		if err == nil {
			held.Store(key, true)
			return &stateLock{f: f, key: key}, nil
		}
	}
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("state_path: lock %q: %w", name, err)
	}
	text, _ := os.ReadFile(name) // whole lines or less: its holder may be writing it
	used := &inUseError{dir: dir, holder: "another process"}
	if who, rest, ok := strings.Cut(string(text), "\n"); ok && who != "" {
		used.holder = who
		if line, whole := strings.CutSuffix(rest, "\n"); whole {
			used.state, _ = strings.CutPrefix(line, "state ")
		}
	}
	_, used.ours = held.Load(key)
	return nil, used
}

// place says where the state is. The folder may have another name on another host, so a state below it is only that.
func (e *Engine) place() string {
	if same(e.opts.StatePath, filepath.Join(e.opts.Path, DefaultState)) {
		return "below the path"
	}
	return "in " + absolute(e.opts.StatePath)
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

// standBy waits until the folder is free, and takes it over: the state of the one before is in the folder, so its
// unanswered batch is sent again as it was, and everything goes on where it had stopped. A holder that is stalled but not dead
// keeps the lock, so there is never a second one that sends.
func (e *Engine) standBy(used *inUseError) {
	e.opts.Logger.Info("another collector loads this folder, this one stands by to take over", zap.String("holder", used.holder), zap.String("folder", used.dir))
	tick := time.NewTicker(claimInterval)
	defer tick.Stop()
	told := ""
	tell := func(err error) {
		if err.Error() == told {
			return
		}
		told = err.Error()
		e.opts.Logger.Error("the folder can't be taken over, it is tried again", zap.Error(err))
		for _, src := range e.opts.Sources {
			e.opts.Observer.Health(src.Signal, err)
		}
	}
	for {
		select {
		case <-tick.C:
		case <-e.quit:
			return
		}
		if mine := e.place(); used.state != mine && used.state != "" {
			// What the other one loaded stands in a state that this one does not see.
			tell(fmt.Errorf("state_path: %s keeps its state %s, this one would %s and load everything again: "+
				"give both the same state_path and start this one again", used.holder, used.state, mine))
			continue
		}
		err := e.open()
		var still *inUseError
		switch {
		case err == nil:
			e.opts.Logger.Info("the folder was taken over", zap.String("holder_before", used.holder))
			if told != "" {
				for _, src := range e.opts.Sources {
					e.opts.Observer.Health(src.Signal, nil)
				}
			}
			return
		case errors.Is(err, errStopped):
			return
		case errors.As(err, &still):
			if still.state != "" {
				used = still
			}
		default:
			tell(err)
		}
	}
}
