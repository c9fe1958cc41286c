// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/pipelinestatus"
	"github.com/tailrace/tailrace/internal/segment"
)

// kindFile is the kind of a whole segment in failed/.
const kindFile = "file"

// maxReason bounds a line of a reasons file when it is read; a reason repeats what the store said.
const maxReason = 1 << 20

var _ pipelinestatus.FailedFiles = (*Engine)(nil)

// failedName takes the name of a file in failed/ apart: base is what its two files have in common. false: it is neither
// a segment nor the reasons of one.
func failedName(name string) (base string, reasons, ok bool) {
	for _, suffix := range []string{segment.SuffixPending, segment.SuffixZstd} {
		if base, found := strings.CutSuffix(name, suffix); found && base != "" {
			return base, false, true
		}
	}
	base, ok = strings.CutSuffix(name, reasonsSuffix)
	return base, true, ok && base != ""
}

// List implements pipelinestatus.FailedFiles: what lies in the folders failed/ of the types of our sources. It works while another engine uses
// the folder.
func (e *Engine) List(ctx context.Context) ([]pipelinestatus.FailedFile, error) {
	var all []pipelinestatus.FailedFile
	for _, src := range e.opts.Sources {
		for _, typ := range folders(src.Types) {
			projects, err := e.opts.disk().readDir(filepath.Join(e.opts.Path, string(typ)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			for _, project := range projects {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				if project.IsDir() { // a link is none
					all = append(all, e.listProject(src.Signal, string(typ), project.Name())...)
				}
			}
		}
	}
	return all, nil
}

// listProject lists one folder failed/. What vanishes meanwhile, and a folder that can't be read, is left out: the watcher tells of it.
func (e *Engine) listProject(signal, typ, folder string) []pipelinestatus.FailedFile {
	d := e.opts.disk()
	dir := filepath.Join(e.opts.Path, typ, folder, segment.DirFailed)
	if info, err := d.lstat(dir); err != nil || !info.IsDir() {
		return nil // most have none
	}
	entries, err := d.readDir(dir)
	if err != nil {
		return nil
	}
	project := segment.ProjectOfFolder(folder)
	found := map[string]*pipelinestatus.FailedFile{} // by what segment and reasons have in common
	for _, entry := range entries {
		base, reasons, ok := failedName(entry.Name())
		if !ok || !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			continue
		}
		f := found[base]
		if f == nil {
			f = &pipelinestatus.FailedFile{
				Signal: signal, Type: typ, Project: project, Sure: segment.ProjectFolder(project) == folder,
				Segment: base, Whole: !strings.Contains(base, "+"), Time: info.ModTime(),
			}
			found[base] = f
		}
		if reasons {
			f.Time = info.ModTime() // of a whole segment, the file's own is when it was written
			continue
		}
		f.File, f.Bytes = typ+"/"+folder+"/"+entry.Name(), info.Size()
	}
	var all []pipelinestatus.FailedFile
	for base, f := range found {
		only := f.File == ""
		if only {
			f.File = typ + "/" + folder + "/" + base + segment.SuffixPending
		}
		first, _, err := readReasons(d, filepath.Join(dir, base+reasonsSuffix), 1)
		if only && (err != nil || len(first) == 0 || first[0].Line != 0 || first[0].Kind == kindFile) {
			continue // its file was put back, or removed by hand
		}
		if len(first) > 0 {
			f.Whole = first[0].Kind == kindFile
			f.Segment = first[0].File.ID()
		}
		all = append(all, *f)
	}
	return all
}

// readReasons reads a file of reasons: the first of them, at most so many, and how many there are. Without the file there are none.
func readReasons(d disk, name string, most int) (reasons []failure, all int, err error) {
	if info, err := d.lstat(name); errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, 0, nil
	}
	f, err := d.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }()
	return parseReasons(f, most)
}

// parseReasons reads the lines of a file of reasons. A line that is none is passed over: the file is for humans, too.
func parseReasons(from io.Reader, most int) (reasons []failure, all int, err error) {
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 0, 4096), maxReason)
	for lines.Scan() {
		var why failure
		if json.Unmarshal(lines.Bytes(), &why) != nil || why.Kind == "" || why.File.check() != nil {
			continue
		}
		if all++; len(reasons) < most {
			reasons = append(reasons, why)
		}
	}
	return reasons, all, lines.Err()
}

// failedPath takes the name of a failed file apart. It refuses whatever does not lie in a folder failed/ of ours, and what any part
// of whose way is a link.
func (e *Engine) failedPath(file string) (src Source, dir, name string, err error) {
	parts := strings.Split(file, "/")
	if len(parts) != 3 || Key(file).check() != nil {
		return src, "", "", pipelinestatus.ErrNoFailedFile
	}
	i := slices.IndexFunc(e.opts.Sources, func(s Source) bool { return slices.Contains(folders(s.Types), segment.Type(parts[0])) })
	if _, reasons, ok := failedName(parts[2]); i < 0 || !ok || reasons {
		return src, "", "", pipelinestatus.ErrNoFailedFile
	}
	dir = filepath.Join(e.opts.Path, parts[0], parts[1])
	for _, d := range []string{dir, filepath.Join(dir, segment.DirFailed)} {
		if info, err := e.opts.disk().lstat(d); err != nil || !info.IsDir() {
			return src, "", "", pipelinestatus.ErrNoFailedFile
		}
	}
	return e.opts.Sources[i], dir, parts[2], nil
}

// Reasons implements pipelinestatus.FailedFiles.
func (e *Engine) Reasons(_ context.Context, file string, most int) ([]pipelinestatus.FailedReason, int, error) {
	_, dir, name, err := e.failedPath(file)
	if err != nil {
		return nil, 0, err
	}
	base, _, _ := failedName(name)
	reasons, all, err := readReasons(e.opts.disk(), filepath.Join(dir, segment.DirFailed, base+reasonsSuffix), most)
	out := make([]pipelinestatus.FailedReason, 0, len(reasons))
	for _, r := range reasons {
		out = append(out, pipelinestatus.FailedReason{Line: r.Line, From: r.From, To: r.To, Kind: r.Kind, Reason: r.Reason, Token: r.Token})
	}
	return out, all, err
}

// PutBack implements pipelinestatus.FailedFiles. It is done between two batches, so that what a crash would write to failed/ again is not
// put back before; while a batch is not answered it waits for as long as ctx allows.
func (e *Engine) PutBack(ctx context.Context, file string) error {
	src, dir, name, err := e.failedPath(file)
	if err != nil {
		return err
	}
	w := e.worker(src.Signal)
	if w == nil {
		return &pipelinestatus.PutBackError{Reason: "another collector loads this folder: put the file back there"}
	}
	answer := make(chan error, 1)
	select {
	case w.asked <- func() { answer <- w.putBack(dir, name) }:
	case <-w.quit:
		return &pipelinestatus.PutBackError{Reason: "the collector is ending: put the file back after its start", Later: true}
	case <-ctx.Done():
		return &pipelinestatus.PutBackError{Reason: "a batch of this signal is not answered by the store yet: put the file back when loading goes on", Later: true}
	}
	return <-answer // it is being done: a disk's time, whatever the client's patience
}

// putBack moves a file out of failed/. It is called by the worker's goroutine, while no batch is on its way.
func (w *worker) putBack(dir, name string) error {
	d := w.opts.disk()
	failed := filepath.Join(dir, segment.DirFailed)
	base, _, _ := failedName(name)
	if info, err := d.lstat(filepath.Join(failed, name)); errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return pipelinestatus.ErrNoFailedFile
	} else if err != nil {
		return err
	}
	typ, project := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
	to, err := w.backTo(d, failed, base, Key(typ+"/"+project+"/"))
	if err != nil {
		return err
	}
	id := to.ID()
	for _, state := range states {
		if taken, err := d.exists(filepath.Join(dir, named(state, id))); err != nil || taken {
			return errors.Join(err, conflict(taken, "a segment of this name waits beside failed/ already"))
		}
	}
	if done, err := loadedBefore(d, dir, segment.DirProcessed, id); err != nil || done {
		return errors.Join(err, conflict(done, problemLoaded))
	}
	// Answers may be in the journal without being on the disk: after a power failure their batch would be sent again, and with it its bad
	// lines written to failed/ again, beside those that are loaded from here.
	if err := w.journal.sync(); err != nil {
		return err
	}
	if err := d.rename(filepath.Join(failed, name), filepath.Join(dir, id+strings.TrimPrefix(name, base))); err != nil {
		return err
	}
	// The new name first: a crash in between may leave both names, which is the case of a file that was loaded before.
	if err := errors.Join(d.syncDir(dir), d.syncDir(failed)); err != nil {
		return err
	}
	// They are about a file that is not here any more. Left behind they would do no harm.
	if err := d.remove(filepath.Join(failed, base+reasonsSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.tell("removing the reasons of a file that was put back", err)
	}
	w.log.Info("a file was put back from failed/", zap.String("segment", string(to)))
	if problem := w.cat.refresh(to); problem != "" {
		w.log.Warn("a file that was put back can't be loaded as it is", zap.String("segment", string(to)), zap.String("reason", problem))
	}
	return nil
}

// backTo is the segment that a file in failed/ becomes, or why it must not: whatever could double something stays.
func (w *worker) backTo(d disk, failed, base string, folder Key) (Key, error) {
	reasons, all, err := readReasons(d, filepath.Join(failed, base+reasonsSuffix), 1<<20)
	if err != nil {
		return "", err
	}
	if len(reasons) == 0 || all > len(reasons) {
		return "", conflict(true, "nothing beside it says what it is and how much of it is stored; look at it, and move it by hand")
	}
	if reasons[0].Kind != kindFile {
		if slices.ContainsFunc(reasons, func(r failure) bool { return r.Kind == KindChanged }) {
			return "", conflict(true, "its bytes were changed while their batch was on its way, so a part of them may be stored; compare, and move by hand what is not")
		}
		return folder + Key(base), nil // a segment of its own
	}
	why := reasons[0]
	key := folder + Key(why.File.ID())
	switch loaded := w.cat.offset(key); {
	case why.File != key:
		return "", conflict(true, "it is of another folder; move it there by hand")
	case why.Reason == problemLoaded:
		return "", conflict(true, "all of it was loaded before it came here: putting it back would double it")
	case loaded < why.From:
		return "", conflict(true, fmt.Sprintf("its first %d bytes are loaded, and that is remembered no more: cut them off, and move it by hand under another name", why.From))
	}
	return key, nil
}

// conflict is the error when something is so.
func conflict(is bool, reason string) error {
	if !is {
		return nil
	}
	return &pipelinestatus.PutBackError{Reason: reason}
}

// offset is how far a segment was loaded.
func (c *catalog) offset(k Key) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.files[k]; f != nil {
		return f.committed
	}
	return c.offsets[k]
}
