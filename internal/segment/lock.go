// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// folderLock is the exclusive right to write below a folder. The system gives it back when the process
// ends, so a `kill -9` leaves nothing that has to be cleaned up.
type folderLock struct {
	fs  FS
	dir string

	mu  sync.Mutex
	f   File
	err error // why the lock is not held any more
}

// lockFolder creates the folder, makes sure that it can be written to, and locks it.
func lockFolder(fsys FS, dir string) (*folderLock, error) {
	l := &folderLock{fs: fsys, dir: dir}
	if err := l.take(); err != nil {
		return nil, err
	}
	if err := probe(fsys, dir, 0); err != nil {
		l.release()
		return nil, fmt.Errorf("path %q cannot be written to: %w; give the collector's user write access to it, or choose another folder", dir, err)
	}
	return l, nil
}

func (l *folderLock) take() error {
	if err := l.fs.MkdirAll(l.dir, dirPerm); err != nil {
		return fmt.Errorf("path %q cannot be created: %w; create it for the collector's user, or choose another folder", l.dir, err)
	}
	name := filepath.Join(l.dir, LockName)
	f, err := l.fs.OpenFile(name, os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return fmt.Errorf("path %q cannot be written to: %w; give the collector's user write access to it, or choose another folder", l.dir, err)
	}
	if err := l.fs.Lock(f); err != nil {
		defer f.Close()
		if errors.Is(err, ErrLocked) {
			return fmt.Errorf("path %q is in use by another jsonl exporter (process %s): %w; stop that one, or give each exporter a path of its own", l.dir, holder(f), err)
		}
		return fmt.Errorf("path %q: lock %s: %w", l.dir, name, err)
	}
	// Only for the message above; a full disk must not keep the collector from starting.
	if err := f.Truncate(0); err == nil {
		_, _ = f.Write([]byte(strconv.Itoa(os.Getpid()) + "\n"))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.f, l.err = f, nil
	return nil
}

func holder(f File) string {
	buf := make([]byte, 32)
	n, _ := f.ReadAt(buf, 0)
	if pid := strings.TrimSpace(string(buf[:n])); pid != "" {
		return pid
	}
	return "unknown"
}

func (l *folderLock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// lost returns why the lock is not held at the moment.
func (l *folderLock) lost() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// check takes the lock again if the folder was deleted or replaced under us; then it reports changed, and
// nothing that was open lies in the folder any more.
func (l *folderLock) check() (changed bool, err error) {
	l.mu.Lock()
	f := l.f
	l.mu.Unlock()
	if f != nil {
		held, err := f.Stat()
		if err != nil {
			return false, err
		}
		there, err := l.fs.Stat(filepath.Join(l.dir, LockName))
		if err == nil && os.SameFile(held, there) {
			return false, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err // unknown, not gone: permissions, an I/O error
		}
		l.release()
	}
	err = l.take()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	return err == nil, err
}

// syncAll makes everything on the folder's file system durable. The lock's file is as old as the writer, so no
// error since then is missed.
func (l *folderLock) syncAll() error {
	l.mu.Lock()
	f := l.f
	l.mu.Unlock()
	if f == nil {
		return errors.ErrUnsupported
	}
	return f.SyncAll()
}
