// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// FS is every file operation that the Writer does, so that tests can make each of them fail by name
// (package errorfs). Implementations are safe for concurrent use.
type FS interface {
	// OpenFile, MkdirAll, Rename, Remove, ReadDir and Stat are those of package os.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	MkdirAll(path string, perm fs.FileMode) error
	Rename(from, to string) error
	Remove(name string) error
	ReadDir(name string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names in a folder durable.
	SyncDir(dir string) error
	// Lock takes the exclusive lock of a file, which the system gives back when the process ends, however
	// it ends. It fails at once with ErrLocked if somebody has it.
	Lock(f File) error
}

// File is an open file of an FS.
type File interface {
	io.WriteCloser
	io.ReaderAt
	Name() string
	Stat() (fs.FileInfo, error)
	Sync() error
	Truncate(size int64) error
	// SyncAll makes everything durable that was written to the file system this file lies on, for much less than
	// one Sync a file. It reports the errors since the file was opened (or asked last), so the file has to be
	// older than the data. errors.ErrUnsupported where the platform can't.
	SyncAll() error
	// Reserve makes sure that there is room for bytes [from, to) without changing the file's length.
	// errors.ErrUnsupported where the file system can't.
	Reserve(from, to int64) error
	// Unlinked reports whether the file has lost its last name: what is written to it is lost.
	Unlinked() (bool, error)
}

// ErrLocked is what FS.Lock returns for a lock that somebody else holds.
var ErrLocked = errors.New("locked by another process")

// OS is the real file system.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) MkdirAll(path string, perm fs.FileMode) error { return os.MkdirAll(path, perm) }
func (osFS) Rename(from, to string) error                 { return os.Rename(from, to) }
func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }

// ReadDir does not sort: folders may hold many thousands of files, and nobody here needs their order.
func (osFS) ReadDir(name string) ([]fs.DirEntry, error) {
	d, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.ReadDir(-1)
}

type osFile struct{ *os.File }
