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

// backlog is one that waits in files, in a form that the stage compares with others.
type backlog struct {
	name string
	dir  string
	data agentdata.Data // without its requests
}

// flat measures whether a record costs the same in small and large backlogs, of few and many projects, in few and many files.
func (r *report) flat(b *bench, runs, largest int, seed uint64, at time.Time) error {
	contests := []struct {
		title string
		make  func(add func(name string, records, batch, projects, files int) error) error
	}{
		{"Cost of a record, by the records of the backlog", func(add func(string, int, int, int, int) error) (err error) {
			for n := 10_000; n <= largest && err == nil; n *= 10 {
				err = add(number(float64(n))+" log records", n, 500, agentdata.Projects, 0)
			}
			return err
		}},
		{fmt.Sprintf("Cost of a record, by projects, %s log records", number(flatRecords)), func(add func(string, int, int, int, int) error) (err error) {
			for n := 1; n <= 1000 && err == nil; n *= 10 {
				err = add(fmt.Sprint(n, " projects"), flatRecords, 100, n, 0)
			}
			return err
		}},
		{fmt.Sprintf("Cost of a record, by waiting files, %s log records of one project", number(flatRecords)), func(add func(string, int, int, int, int) error) (err error) {
			for n := 1; n <= 10_000 && err == nil; n *= 100 {
				err = add(fmt.Sprint(n, " files"), flatRecords, 30, 1, n)
			}
			return err
		}},
	}
	for _, of := range contests {
		c := &contest{Title: of.title}
		var all []backlog
		err := of.make(func(name string, records, batch, projects, files int) error {
			progress("%s: writing that of %s", c.Title, name)
			l := backlog{name: name, dir: filepath.Join(b.dir, fmt.Sprint("flat-", len(r.Contests), "-", len(all)))}
			source := agentdata.NewSource(seed, at)
			var err error
			l.data, err = b.writePieces(l.dir, source, records, batch, projects)
			if err == nil && files > 0 {
				err = resplit(l.dir, files)
			}
			all = append(all, l)
			return err
		})
		for i := 0; i < runs && err == nil; i++ {
			for j := range all {
				l := all[(i+j)%len(all)]
				var m measure
				if m, err = b.load(product, l.data, l.dir, "", false, nil); err != nil {
					break
				}
				progress("%s, run %d, %s: %.1f s, %s records/s, lost %d, doubled %d", c.Title, i+1, l.name, m.Seconds, number(m.RecordsPS), m.Lost, m.Doubled)
				c.add(l.name, false, m)
			}
		}
		for _, l := range all {
			_ = os.RemoveAll(l.dir)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.Title, err)
		}
		r.finish(c)
	}
	return nil
}

// writePieces has the product write a backlog.
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
