// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFileSync creates or replaces a file so that after a crash it is there as a whole or not at all, and
// returns when it is durable.
func writeFileSync(name string, data []byte) error {
	return replaceFileSync(name, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// replaceFileSync is writeFileSync with a function that writes the content.
func replaceFileSync(name string, write func(*os.File) error) (err error) {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
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
	if err = os.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// exists reports whether there is a file of any kind.
func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
