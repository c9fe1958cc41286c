// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tailrace/tailrace/bench/agentdata"
)

// limitWrite writes the bytes of a backlog to one file, 1 MiB at a time, and syncs it: what `dd conv=fsync` does.
func (b *bench) limitWrite(d agentdata.Data, backlog string) (m measure, err error) {
	dir, remove, err := b.fresh()
	if err != nil {
		return m, err
	}
	defer remove()
	f, err := os.Create(filepath.Join(dir, "bytes"))
	if err != nil {
		return m, err
	}
	defer f.Close()
	var all []byte
	if err := eachFile(backlog, func(path string) error {
		raw, err := os.ReadFile(path)
		all = append(all, raw...)
		return err
	}); err != nil {
		return m, err
	}
	begin := time.Now()
	for rest := all; len(rest) > 0 && err == nil; {
		n := min(len(rest), 1<<20)
		_, err = f.Write(rest[:n])
		rest = rest[n:]
	}
	if err := errors.Join(err, f.Sync()); err != nil {
		return m, err
	}
	m.timed(time.Since(begin), d)
	m.BytesOnDisk = float64(len(all)) / float64(d.Records)
	return m, nil
}

// limitInserts loads a backlog once, writes the rows out in each format, and measures how fast ClickHouse takes them
// back into the same table, with its view, over HTTP from a file.
func (b *bench) limitInserts(d agentdata.Data, backlog string, formats []string, runs int, each func(format string, m measure)) error {
	_, err := b.load(product, d, backlog, "", false, func(ch *server) error {
		table, _ := product.table(d.Signal)
		for _, format := range formats {
			file := filepath.Join(b.dir, "rows."+strings.ToLower(format))
			defer os.Remove(file)
			if err := ch.save(b, "SELECT * FROM "+table+" FORMAT "+format, file); err != nil {
				return err
			}
		}
		for range runs {
			for _, format := range formats {
				for _, t := range []string{table, product.database() + ".otel_traces_trace_id_ts"} {
					if err := ch.exec(b.ctx, "TRUNCATE TABLE "+t); err != nil {
						return err
					}
				}
				m, err := b.insert(ch, d, table, format)
				if err != nil {
					return err
				}
				each(format, m)
			}
		}
		return nil
	})
	return err
}

func (b *bench) insert(ch *server, d agentdata.Data, table, format string) (m measure, err error) {
	f, err := os.Open(filepath.Join(b.dir, "rows."+strings.ToLower(format)))
	if err != nil {
		return m, err
	}
	defer f.Close()
	server, begin := ch.cpu(), time.Now()
	body, err := ch.send(b.ctx, "INSERT INTO "+table+" SETTINGS insert_deduplicate = 0, async_insert = 0 FORMAT "+format, f)
	if err != nil {
		return m, err
	}
	body.Close()
	m.timed(time.Since(begin), d)
	m.ClickHouse = perMillion(ch.cpu()-server, d.Records)
	n, err := ch.numbers(b.ctx, "SELECT count() FROM "+table)
	if err == nil {
		m.Lost = int64(d.Records) - n[0]
	}
	return m, err
}

func (s *server) save(b *bench, query, file string) error {
	body, err := s.send(b.ctx, query, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, body)
	return err
}
