// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// watchPoll is how often a file is looked at when nothing is heard of it: file systems without notifications.
	watchPoll = 5 * time.Second
	// watchSettle is how long after the first of several changes the file is looked at.
	watchSettle = 20 * time.Millisecond
)

// WatchFile calls changed whenever the file may have another content, be gone or be back, until ctx ends; often too when
// it has not. changed is called from this goroutine, first at once: what changed before the watch began is not missed.
func WatchFile(ctx context.Context, path string, changed func()) {
	path = filepath.Clean(path)
	var events chan fsnotify.Event
	// The folder, since editors and config maps replace the file.
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		defer func() { _ = watcher.Close() }()
		if watcher.Add(filepath.Dir(path)) == nil {
			events = watcher.Events
		}
	}
	var watchErrors chan error
	if watcher != nil {
		watchErrors = watcher.Errors
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	soon := true // the timer is about a change, not about the poll
	settle := func() {
		if !soon {
			soon = true
			timer.Reset(watchSettle)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-watchErrors:
			_ = err // an overflow, mostly: look
			settle()
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if concerns(e, path) {
				settle()
			}
		case <-timer.C:
			changed()
			soon = false
			timer.Reset(watchPoll)
		}
	}
}

// concerns tells events of the file, and of the link that Kubernetes turns to another folder, from those of its neighbours.
func concerns(e fsnotify.Event, path string) bool {
	return filepath.Clean(e.Name) == path || strings.HasPrefix(filepath.Base(e.Name), "..")
}
