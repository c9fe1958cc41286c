// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package objectstoreextension

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"github.com/tailrace/tailrace/internal/segment"
)

const dirPerm = 0o750

// stateDir is where the extension keeps its lock and, in the centre, who it is.
func stateDir(base string) string { return filepath.Join(base, ".object_store") }

// pending lists the complete segments of a folder with their sizes, the oldest first. Those that are not quiet yet are only counted:
// somebody may be copying them into the folder.
func pending(base string, quiet time.Duration) (all []object, young int, err error) {
	now := time.Now()
	err = eachFile(base, func(r ref, suffix string, e fs.DirEntry) {
		info, ierr := e.Info()
		if suffix != "" || ierr != nil || !info.Mode().IsRegular() {
			return // in another state, or gone since
		}
		if age := now.Sub(info.ModTime()); age >= 0 && age < quiet {
			young++
			return
		}
		all = append(all, object{r, info.Size()})
	})
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a.name.ID, b.name.ID) })
	return all, young, err
}

// eachFile calls f with every complete segment of a folder, and with those that have one of the suffixes of a download.
func eachFile(base string, f func(r ref, suffix string, e fs.DirEntry)) error {
	for _, t := range segment.Types() {
		projects, err := readDir(filepath.Join(base, string(t)))
		if err != nil {
			return err
		}
		for _, p := range projects {
			if !p.IsDir() {
				continue
			}
			files, err := readDir(filepath.Join(base, string(t), p.Name()))
			if err != nil {
				return err
			}
			for _, e := range files {
				name, suffix := e.Name(), ""
				for _, s := range []string{suffixDownload, suffixReady, suffixClaimed} {
					if cut, ok := strings.CutSuffix(name, s); ok {
						name, suffix = cut, s
					}
				}
				if r, ok := parseKey(strings.Join([]string{string(t), p.Name(), name}, "/")); ok {
					f(r, suffix, e)
				}
			}
		}
	}
	return nil
}

func readDir(name string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return entries, err
}

// exists reports whether there is a file.
func exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// makeDirs makes a folder below an existing one, and the names durable.
func makeDirs(base string, names ...string) (string, error) {
	dir := base
	for _, name := range names {
		parent := dir
		dir = filepath.Join(dir, name)
		err := os.Mkdir(dir, dirPerm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		if err := syncDir(parent); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// syncDir makes the names in a folder durable.
func syncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil // a folder can't be synced there
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// renameDurably renames within a folder.
func renameDurably(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// locks are held files; the system gives them back when the process ends, whatever ends it.
type locks []*flock.Flock

func (l locks) release() {
	for _, f := range l {
		_ = f.Close()
	}
}

// errInUse says that another process has a folder.
var errInUse = errors.New("in use")

// lockFolder takes the folder for this process. An edge takes the locks of clickhouse_ingest as well: what is uploaded
// from here is loaded elsewhere, so nobody may load it here.
func lockFolder(cfg *Config) (held locks, err error) {
	defer func() {
		if err != nil {
			held.release()
			held = nil
		}
	}()
	names := []string{filepath.Join(stateDir(cfg.Path), "lock")}
	if cfg.Upload.HasValue() {
		for _, signal := range []string{"traces", "logs", "metrics"} {
			names = append(names, filepath.Join(cfg.Path, ".ingest", signal, "lock"))
		}
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Dir(name), dirPerm); err != nil {
			return held, fmt.Errorf("path: %w", err)
		}
		l := flock.New(name, flock.SetPermissions(0o640))
		ok, err := l.TryLock()
		if err != nil {
			return held, fmt.Errorf("path: lock %s: %w", name, err)
		}
		if !ok {
			who, _ := os.ReadFile(name)
			holder, _, _ := strings.Cut(string(who), "\n")
			return held, fmt.Errorf("path: %q is %w by %s (%s): a folder is uploaded, or filled, or loaded by one collector at a time; "+
				"stop the other one, or take its clickhouse_ingest out of this folder", cfg.Path, errInUse, holder, name)
		}
		held = append(held, l)
		host, _ := os.Hostname()
		bucket, _, _ := strings.Cut(cfg.Bucket, "?")
		said := fmt.Sprintf("process %d on %s (object_store with %s) since %s\n", os.Getpid(), host, bucket, time.Now().UTC().Format(time.RFC3339))
		_ = os.WriteFile(name, []byte(said), 0o640) // for whoever finds the folder in use
	}
	return held, nil
}

// workerID tells who answers for the segments of a folder. It lies in the folder and belongs to it, not to the process.
func workerID(base string) (string, error) {
	id, err := readWorkerID(base)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = uuid.NewString()
	if err := writeDurably(workerFile(base), id+"\n"); err != nil {
		return "", fmt.Errorf("path: %w", err)
	}
	return id, syncDir(base)
}

func workerFile(base string) string { return filepath.Join(stateDir(base), "worker") }

func readWorkerID(base string) (string, error) {
	text, err := os.ReadFile(workerFile(base))
	if err != nil {
		return "", fmt.Errorf("path: %w", err)
	}
	id, err := uuid.Parse(strings.TrimSpace(string(text)))
	if err != nil {
		return "", fmt.Errorf("path: %s does not hold this folder's id (%w): restore the file; without it nobody knows which objects this folder answers for", workerFile(base), err)
	}
	return id.String(), nil
}

func writeDurably(name, text string) error {
	tmp := name + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return renameDurably(tmp, name)
}
