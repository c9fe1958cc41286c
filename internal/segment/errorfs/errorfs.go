// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package errorfs makes file operations fail by name, for tests of what must survive it.
package errorfs

import (
	"errors"
	"io/fs"
	"sync"

	"github.com/tailrace/tailrace/internal/segment"
)

// Op names a file operation.
type Op string

// The operations that can be made to fail.
const (
	Open     Op = "open"
	Mkdir    Op = "mkdir"
	Rename   Op = "rename"
	Remove   Op = "remove"
	ReadDir  Op = "readdir"
	Stat     Op = "stat"
	SyncDir  Op = "syncdir"
	SyncAll  Op = "syncall"
	Lock     Op = "lock"
	Write    Op = "write"
	Read     Op = "read"
	Sync     Op = "sync"
	Truncate Op = "truncate"
	Reserve  Op = "reserve"
	Close    Op = "close"
)

// Ops lists all of them.
func Ops() []Op {
	return []Op{Open, Mkdir, Rename, Remove, ReadDir, Stat, SyncDir, SyncAll, Lock, Write, Read, Sync, Truncate, Reserve, Close}
}

// Short makes a write take n bytes and then fail with Err.
type Short struct {
	N   int
	Err error
}

func (s Short) Error() string { return s.Err.Error() }

// Unwrap returns Err.
func (s Short) Unwrap() error { return s.Err }

// FS wraps another file system.
type FS struct {
	inner segment.FS

	mu     sync.Mutex
	hook   func(op Op, path string) error
	counts map[Op]int
	noSync bool
}

// SkipSyncs makes everything that waits for the disk return at once, after the hook: tests of many lives are about the
// answers, not about the disk. Called before the first use.
func (e *FS) SkipSyncs() { e.noSync = true }

// Wrap returns an FS on which nothing fails yet.
func Wrap(inner segment.FS) *FS { return &FS{inner: inner, counts: map[Op]int{}} }

// Inject calls hook before every operation; an error of it is the operation's result. nil ends the faults.
func (e *FS) Inject(hook func(op Op, path string) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hook = hook
}

// Count returns how often an operation was asked for.
func (e *FS) Count(op Op) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.counts[op]
}

func (e *FS) check(op Op, path string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[op]++
	if e.hook == nil {
		return nil
	}
	if err := e.hook(op, path); err != nil {
		if _, short := errors.AsType[Short](err); short {
			return err
		}
		return &fs.PathError{Op: string(op), Path: path, Err: err}
	}
	return nil
}

// OpenFile implements segment.FS.
func (e *FS) OpenFile(name string, flag int, perm fs.FileMode) (segment.File, error) {
	if err := e.check(Open, name); err != nil {
		return nil, err
	}
	f, err := e.inner.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &file{File: f, e: e}, nil
}

// MkdirAll implements segment.FS.
func (e *FS) MkdirAll(path string, perm fs.FileMode) error {
	if err := e.check(Mkdir, path); err != nil {
		return err
	}
	return e.inner.MkdirAll(path, perm)
}

// Rename implements segment.FS.
func (e *FS) Rename(from, to string) error {
	if err := e.check(Rename, from); err != nil {
		return err
	}
	return e.inner.Rename(from, to)
}

// Remove implements segment.FS.
func (e *FS) Remove(name string) error {
	if err := e.check(Remove, name); err != nil {
		return err
	}
	return e.inner.Remove(name)
}

// ReadDir implements segment.FS.
func (e *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := e.check(ReadDir, name); err != nil {
		return nil, err
	}
	return e.inner.ReadDir(name)
}

// Stat implements segment.FS.
func (e *FS) Stat(name string) (fs.FileInfo, error) {
	if err := e.check(Stat, name); err != nil {
		return nil, err
	}
	return e.inner.Stat(name)
}

// SyncDir implements segment.FS.
func (e *FS) SyncDir(dir string) error {
	if err := e.check(SyncDir, dir); err != nil {
		return err
	}
	if e.noSync {
		return nil
	}
	return e.inner.SyncDir(dir)
}

// Lock implements segment.FS.
func (e *FS) Lock(f segment.File) error {
	if err := e.check(Lock, f.Name()); err != nil {
		return err
	}
	if wrapped, ok := f.(*file); ok {
		f = wrapped.File
	}
	return e.inner.Lock(f)
}

type file struct {
	segment.File
	e *FS
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.e.check(Write, f.Name()); err != nil {
		if short, ok := errors.AsType[Short](err); ok {
			n, werr := f.File.Write(p[:min(short.N, len(p))])
			return n, errors.Join(werr, &fs.PathError{Op: string(Write), Path: f.Name(), Err: short.Err})
		}
		return 0, err
	}
	return f.File.Write(p)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.e.check(Read, f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *file) Sync() error {
	if err := f.e.check(Sync, f.Name()); err != nil {
		return err
	}
	if f.e.noSync {
		return nil
	}
	return f.File.Sync()
}

func (f *file) SyncAll() error {
	if err := f.e.check(SyncAll, f.Name()); err != nil {
		return err
	}
	if f.e.noSync {
		return nil
	}
	return f.File.SyncAll()
}

func (f *file) Truncate(size int64) error {
	if err := f.e.check(Truncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Reserve(from, to int64) error {
	if err := f.e.check(Reserve, f.Name()); err != nil {
		return err
	}
	return f.File.Reserve(from, to)
}

func (f *file) Close() error {
	err := f.e.check(Close, f.Name())
	return errors.Join(err, f.File.Close())
}
