// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tailrace/tailrace/internal/segment"
)

// moveAtOnce bounds how many segments are moved between two batches.
const moveAtOnce = 512

// reasonsSuffix is the suffix of the file that says why lines are in failed/. It is not a segment's suffix, so
// that moving everything back from failed/ does not make a segment of it.
const reasonsSuffix = ".reasons.ndjson"

// failure is a line of a reasons file.
type failure struct {
	// Line is the number, from 1, of the line in the file beside it; 0 when there are no bytes to keep.
	Line   int    `json:"line,omitempty"`
	File   Key    `json:"file"`
	From   int64  `json:"from"`
	To     int64  `json:"to"`
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	// Token is the one under which the next consumer refused the record.
	Token string `json:"token,omitempty"`
}

// quarantine writes the bad lines of a batch, those of a cut into one file `failed/{id}+{from}.jsonl` with
// its reasons beside it. Names and content follow from the manifest alone, so doing it again after a crash
// changes nothing. It returns when the files are durable.
func quarantine(d disk, base string, m *Manifest, bad []badLine) error {
	byCut := map[int][]badLine{}
	for _, l := range bad {
		byCut[l.cut] = append(byCut[l.cut], l)
	}
	for i, cut := range m.Cuts {
		lines := byCut[i]
		if len(lines) == 0 {
			continue
		}
		slices.SortStableFunc(lines, func(a, b badLine) int { return int(min(1, max(-1, a.from-b.from))) })
		if err := quarantineCut(d, base, cut, lines); err != nil {
			return err
		}
	}
	return nil
}

func quarantineCut(d disk, base string, cut Cut, lines []badLine) error {
	dir, err := subDir(d, cut.File.dir(base), segment.DirFailed)
	if err != nil {
		return err
	}
	_, _, id := cut.File.split()
	name := filepath.Join(dir, fmt.Sprintf("%s+%d", id, cut.From))
	var reasons []byte
	n := 0
	src, err := locate(d, base, cut.File, true, place{}, nil)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	defer src.Close()
	err = d.replaceFileSync(name+segment.SuffixPending, func(f *diskFile) error {
		reasons, n = nil, 0
		for _, l := range lines {
			wrote, err := writeBad(f, src, l)
			if err != nil {
				return err
			}
			why := failure{File: cut.File, From: l.from, To: l.to, Kind: l.kind, Reason: l.reason, Token: l.token}
			if wrote {
				n++
				why.Line = n
			}
			text, err := json.Marshal(why)
			if err != nil {
				return err
			}
			reasons = append(append(reasons, text...), '\n')
		}
		return nil
	})
	if err != nil {
		return err
	}
	if n == 0 { // nothing could be kept, there are only reasons
		if err := d.remove(name + segment.SuffixPending); err != nil {
			return err
		}
	}
	return d.writeFileSync(name+reasonsSuffix, reasons)
}

// writeBad writes a bad line, streaming it from its file when it is not held. Of a range that is changed it
// writes what is there now; nothing when the file is gone.
func writeBad(f *diskFile, src *content, l badLine) (bool, error) {
	if l.line != nil {
		_, err := f.Write(append(l.line[:len(l.line):len(l.line)], '\n'))
		return true, err
	}
	if src == nil {
		return false, nil
	}
	end := &lastByte{Writer: f}
	n, err := io.Copy(end, io.NewSectionReader(src, l.from, l.to-l.from))
	if errors.Is(err, segment.ErrFrame) {
		err = nil // damaged: what can be read of it
	}
	if err != nil || n == 0 {
		return false, err
	}
	if end.last != '\n' {
		_, err = f.Write([]byte{'\n'})
	}
	return true, err
}

// lastByte remembers the last byte that was written.
type lastByte struct {
	io.Writer
	last byte
}

func (w *lastByte) Write(p []byte) (int, error) {
	if len(p) > 0 {
		w.last = p[len(p)-1]
	}
	return w.Writer.Write(p)
}

// partLines returns what of a batch's lines went into a unit, and which cuts are not what they were.
func partLines(d disk, base string, m *Manifest, src Source, unit int, reason, token string) (lines, changed []badLine, err error) {
	b, changed, err := load(d, base, m, src)
	if err != nil {
		return nil, nil, err
	}
	if _, err := b.data.Units(m.Plan); err != nil {
		return nil, nil, err
	}
	err = eachGood(d, base, m, b, changed, func(cut int, l segment.Line) error {
		part, err := b.data.Part(m.Cuts[cut].File, l.Bytes, unit)
		if err == nil && part != nil {
			lines = append(lines, badLine{cut: cut, from: l.From, to: l.To, kind: KindRefused, reason: reason, line: slices.Clone(part), token: token})
		}
		return err
	})
	return lines, changed, err
}

// eachGood calls f with the lines of a batch that was loaded again, but for those that were not added to it.
func eachGood(d disk, base string, m *Manifest, b *batch, changed []badLine, f func(cut int, l segment.Line) error) error {
	gone := map[int]bool{}
	for _, c := range changed {
		gone[c.cut] = true
	}
	unreadable := map[[2]int64]bool{}
	for _, l := range b.bad {
		if l.kind != KindRejected {
			unreadable[[2]int64{int64(l.cut), l.from}] = true
		}
	}
	for i, c := range m.Cuts {
		if gone[i] {
			continue
		}
		var failed error
		err := eachLine(d, base, c, m.MaxLine, func(l segment.Line) {
			if failed == nil && !l.TooLong && !unreadable[[2]int64{int64(i), l.From}] && len(bytes.TrimSpace(l.Bytes)) > 0 {
				failed = f(i, l)
			}
		})
		if err := errors.Join(err, failed); err != nil {
			return err
		}
	}
	return nil
}

// subDir makes a folder and its name durable.
func subDir(d disk, dir, name string) (string, error) {
	sub := filepath.Join(dir, name)
	if err := d.mkdir(sub); err != nil {
		if errors.Is(err, os.ErrExist) {
			return sub, nil
		}
		return "", err
	}
	return sub, d.syncDir(dir)
}

// finish moves away the segments that are done with. The offsets are durable before a segment moves, and
// forgotten only when the moving is durable: in between the state says "all of it is loaded", which is true.
func (w *worker) finish() {
	if time.Now().Before(w.moveAt) {
		return
	}
	all := w.cat.takeable(moveAtOnce)
	if len(all) == 0 {
		return
	}
	err := w.journal.sync()
	var moved []taken
	if err == nil {
		moved, err = w.moveAll(all)
	}
	if err != nil {
		w.moveAt = time.Now().Add(min(5*time.Second, w.opts.Limits.RetryMax))
		w.log.Warn("loaded segments can't be moved away, it is tried again", zap.Error(err))
		w.opts.Observer.Trouble(w.src.Signal, "move")
	}
	if len(moved) == 0 {
		return
	}
	w.hook(PointMoved)
	var forget []Key
	for _, f := range moved {
		if !f.keeps() {
			forget = append(forget, f.key)
		}
	}
	w.cat.remove(moved)
	if len(forget) > 0 {
		w.tell("forgetting segments that were moved", w.journal.note(entry{Forget: forget}))
	}
	w.opts.Observer.Moved(w.src.Signal, len(moved))
	for _, f := range moved {
		if f.bad == "" {
			w.retain.moved(filepath.Join(f.key.dir(w.opts.Path), segment.DirProcessed), f.size)
		}
	}
	for _, f := range moved {
		// A file of the same name may have come while the old one was still known: its notification is spent.
		if problem := w.cat.refresh(f.key); problem != "" {
			w.log.Error("a segment can't be loaded as it is", zap.String("segment", string(f.key)), zap.String("reason", problem))
			w.opts.Observer.Trouble(w.src.Signal, "segment")
		}
	}
}

// moveAll moves segments, and returns those whose move is durable.
func (w *worker) moveAll(all []taken) (moved []taken, err error) {
	var errs []error
	dirs := map[string]bool{}
	for _, f := range all {
		var target string
		var err error
		if f.bad == "" {
			target, err = w.moveDone(f)
		} else {
			target, err = w.moveBad(f, f.bad)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		dirs[target], dirs[f.key.dir(w.opts.Path)] = true, true
		moved = append(moved, f)
	}
	for dir := range dirs {
		if err := w.opts.disk().syncDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, errors.Join(append(errs, err)...) // which of them are durable is not known: all again
		}
	}
	return moved, errors.Join(errs...)
}

// moveDone moves or deletes a loaded segment, and returns the folder that it went to.
func (w *worker) moveDone(f taken) (string, error) {
	d := w.opts.disk()
	dir := f.key.dir(w.opts.Path)
	name := filepath.Join(dir, f.name)
	target := filepath.Join(dir, segment.DirProcessed)
	info, err := d.lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return target, nil // moved before, or by somebody else
	}
	if err != nil {
		return "", err
	}
	if info.Size() != f.size {
		return "", fmt.Errorf("%s has grown after it was complete", name)
	}
	if w.opts.Delete {
		return dir, d.remove(name)
	}
	if taken, err := loadedBefore(d, dir, segment.DirProcessed, f.id); err != nil || taken {
		if err != nil {
			return "", err
		}
		return w.moveBad(f, problemLoaded) // never over what was moved before
	}
	if _, err := subDir(d, dir, segment.DirProcessed); err != nil {
		return "", err
	}
	return target, d.rename(name, filepath.Join(target, f.name))
}

// moveBad moves a segment that must not be loaded to failed/, and writes the reason beside it.
func (w *worker) moveBad(f taken, reason string) (string, error) {
	d := w.opts.disk()
	dir := f.key.dir(w.opts.Path)
	name := filepath.Join(dir, f.name)
	suffix := strings.TrimPrefix(f.name, f.id)
	info, err := d.lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return filepath.Join(dir, segment.DirFailed), nil
	}
	if err != nil {
		return "", err
	}
	target, err := subDir(d, dir, segment.DirFailed)
	if err != nil {
		return "", err
	}
	to := filepath.Join(target, f.id)
	for n := 1; ; n++ {
		taken, err := d.exists(to + suffix)
		if err != nil {
			return "", err
		}
		if !taken {
			break
		}
		to = filepath.Join(target, fmt.Sprintf("%s~%d", f.id, n))
	}
	why, err := json.Marshal(failure{File: f.key, From: f.committed, To: info.Size(), Kind: kindFile, Reason: reason})
	if err != nil {
		return "", err
	}
	if err := d.writeFileSync(to+reasonsSuffix, append(why, '\n')); err != nil {
		return "", err
	}
	w.opts.Observer.Failed(w.src.Signal, kindFile, 1)
	return target, d.rename(name, to+suffix)
}
