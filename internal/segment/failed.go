// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package segment

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// CountFailed counts the segments in the failed/ folders of all projects of a type, and their bytes; the files with reasons beside them are not
// counted. What vanishes meanwhile is left out.
func CountFailed(base string, t Type) (files, bytes int64, err error) {
	for _, folder := range Folders(t) {
		projects, err := os.ReadDir(filepath.Join(base, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return files, bytes, err
		}
		for _, project := range projects {
			failed, err := os.ReadDir(filepath.Join(base, folder, project.Name(), DirFailed))
			if err != nil {
				continue // most have none
			}
			for _, f := range failed {
				if !strings.HasSuffix(f.Name(), SuffixPending) && !strings.HasSuffix(f.Name(), SuffixZstd) {
					continue
				}
				if info, err := f.Info(); err == nil {
					files++
					bytes += info.Size()
				}
			}
		}
	}
	return files, bytes, nil
}
