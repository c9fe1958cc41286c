// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// disk is every file operation whose failure must not lose or double anything, so that tests can make each of them fail.
type disk struct {
	fault func(op, path string) error // nil: none
}

func (d disk) check(op, path string) error {
	if d.fault == nil {
		return nil
	}
	if err := d.fault(op, path); err != nil {
		return &fs.PathError{Op: op, Path: path, Err: err}
	}
	return nil
}

func (d disk) open(name string) (*diskFile, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	f, err := openNoFollow(name)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d disk) openFile(name string, flag int, perm fs.FileMode) (*diskFile, error) {
	if err := d.check("open", name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &diskFile{f, d}, nil
}

func (d disk) mkdir(name string) error {
	if err := d.check("mkdir", name); err != nil {
		return err
	}
	return os.Mkdir(name, 0o750)
}

func (d disk) rename(from, to string) error {
	if err := d.check("rename", from); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func (d disk) remove(name string) error {
	if err := d.check("remove", name); err != nil {
		return err
	}
	return os.Remove(name)
}

func (d disk) lstat(name string) (fs.FileInfo, error) {
	if err := d.check("stat", name); err != nil {
		return nil, err
	}
	return os.Lstat(name)
}

func (d disk) readDir(name string) ([]os.DirEntry, error) {
	if err := d.check("readdir", name); err != nil {
		return nil, err
	}
	return os.ReadDir(name)
}

func (d disk) syncDir(name string) error {
	if err := d.check("syncdir", name); err != nil {
		return err
	}
	return syncDir(name)
}

// diskFile is an open file of a disk.
type diskFile struct {
	*os.File
	d disk
}

// Write implements io.Writer. A write that is made to fail has written half.
func (f *diskFile) Write(p []byte) (int, error) {
	if err := f.d.check("write", f.Name()); err != nil {
		n, werr := f.File.Write(p[:len(p)/2])
		return n, errors.Join(err, werr)
	}
	return f.File.Write(p)
}

// Read implements io.Reader.
func (f *diskFile) Read(p []byte) (int, error) {
	if err := f.d.check("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Read(p)
}

// ReadAt implements io.ReaderAt.
func (f *diskFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.d.check("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// Sync makes what was written durable.
func (f *diskFile) Sync() error {
	if err := f.d.check("sync", f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

// Close implements io.Closer.
func (f *diskFile) Close() error {
	return errors.Join(f.d.check("close", f.Name()), f.File.Close())
}

// writeFileSync creates or replaces a file so that after a crash it is there as a whole or not at all, and
// returns when it is durable.
func (d disk) writeFileSync(name string, data []byte) error {
	return d.replaceFileSync(name, func(f *diskFile) error {
		_, err := f.Write(data)
		return err
	})
}

// replaceFileSync is writeFileSync with a function that writes the content.
func (d disk) replaceFileSync(name string, write func(*diskFile) error) (err error) {
	tmp := name + ".tmp"
	f, err := d.openFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	if err = errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = d.rename(tmp, name); err != nil {
		return err
	}
	return d.syncDir(filepath.Dir(name))
}

// exists reports whether there is a file of any kind.
func (d disk) exists(name string) (bool, error) {
	_, err := d.lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
