// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tailrace/tailrace/bench/agentdata"
	"github.com/tailrace/tailrace/internal/segment"
)

// flatRecords are those of a backlog where their number is not what changes, and of a piece of a larger one: a whole one of ten
// million would not fit into memory.
const (
	flatRecords = 300_000
	flatPiece   = 1_000_000
)

// backlog is one that waits in files.
type backlog struct {
	name                     string
	records, batch, projects int
	files                    int // into which the lines are put; 0: as they were written
}

// flat measures whether a record costs the same in small and large backlogs, of few and many projects, in few and many files.
func (r *report) flat(b *bench, runs, largest int, seed uint64, at time.Time) error {
	var sizes, projects, files []backlog
	for n := 10_000; n <= largest; n *= 10 {
		sizes = append(sizes, backlog{name: number(float64(n)) + " log records", records: n, batch: 500, projects: agentdata.Projects})
	}
	for n := 1; n <= 1000; n *= 10 {
		projects = append(projects, backlog{name: fmt.Sprint(n, " projects"), records: flatRecords, batch: 100, projects: n})
	}
	for n := 1; n <= 10_000; n *= 100 {
		files = append(files, backlog{name: fmt.Sprint(n, " files"), records: flatRecords, batch: 30, projects: 1, files: n})
	}
	same := ", " + number(flatRecords) + " log records"
	for _, c := range []struct {
		title string
		all   []backlog
	}{
		{"Cost of a record, by the records of the backlog", sizes},
		{"Cost of a record, by projects" + same, projects},
		{"Cost of a record, by waiting files" + same + " of one project", files},
	} {
		if err := r.backlogs(b, c.title, c.all, runs, seed, at); err != nil {
			return err
		}
	}
	return nil
}

// backlogs has the product load each of them, in turns.
func (r *report) backlogs(b *bench, title string, all []backlog, runs int, seed uint64, at time.Time) error {
	dirs, data := map[string]string{}, map[string]agentdata.Data{}
	var ways []way
	for i, l := range all {
		progress("%s: writing that of %s", title, l.name)
		dir := filepath.Join(b.dir, fmt.Sprint("backlog-", i))
		defer os.RemoveAll(dir)
		d, err := b.writePieces(dir, agentdata.NewSource(seed, at), l.records, l.batch, l.projects)
		if err == nil && l.files > 0 {
			err = resplit(dir, l.files)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
		w := product
		w.name = l.name
		ways, dirs[w.name], data[w.name] = append(ways, w), dir, d
	}
	return r.turns(b, &contest{Title: title}, runs, ways, func(w way, _ int) (measure, error) {
		return b.load(w, data[w.name], dirs[w.name], "", false, nil)
	})
}

// writePieces has the product write a backlog. What it returns has no requests.
func (b *bench) writePieces(files string, source *agentdata.Source, records, batch, projects int) (all agentdata.Data, err error) {
	dir, remove, err := b.fresh()
	if err != nil {
		return all, err
	}
	defer remove()
	s := settings{Write: true, Signals: []string{logs}, Files: files, dir: dir}
	p, err := b.collector(product, &s)
	if err != nil {
		return all, err
	}
	defer p.kill()
	all.Signal = logs
	for all.Records < records {
		d, err := source.Generate(logs, min(flatPiece, records-all.Records), batch, projects)
		if err == nil {
			err = b.postAll(s.OTLP, d)
		}
		if err != nil {
			return all, p.failed(err)
		}
		all.Records, all.Bytes = all.Records+d.Records, all.Bytes+d.Bytes
	}
	_, _, err = p.stop()
	return all, err
}

// resplit puts the lines of the one project below dir into so many files.
func resplit(dir string, files int) error {
	var lines [][]byte
	var folder string
	err := eachFile(dir, func(path string) error {
		folder = filepath.Dir(path)
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for line := range bytes.Lines(raw) {
			lines = append(lines, line)
		}
		return os.Remove(path)
	})
	if err != nil {
		return err
	}
	if len(lines) < files {
		return fmt.Errorf("%d lines for %d files", len(lines), files)
	}
	for i := range files {
		name := segment.Name{ID: segment.NewID(time.Now())}.String()
		part := bytes.Join(lines[len(lines)*i/files:len(lines)*(i+1)/files], nil)
		if err := os.WriteFile(filepath.Join(folder, name), part, 0o640); err != nil {
			return err
		}
	}
	return nil
}
