// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tailrace/tailrace/bench/machine"
	"github.com/tailrace/tailrace/internal/clickhousetest"
	"github.com/tailrace/tailrace/internal/freeport"
)

//go:embed spans.sql
var spansSQL string

//go:embed logs.sql
var logsSQL string

const user, password = "bench", "bench"

// server is a ClickHouse of its own.
type server struct {
	cmd  *exec.Cmd
	in   io.Closer
	conn driver.Conn
}

func start(ctx context.Context, o options) (*server, error) {
	port, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	build, err := filepath.Abs(o.build)
	if err != nil {
		return nil, err
	}
	cmd, err := clickhousetest.Command{
		Build: build, Dir: o.dir, User: user, Password: password, TCPPort: port, Config: "<mark_cache_size>268435456</mark_cache_size>",
	}.Prepare()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.conn, err = clickhouse.Open(&clickhouse.Options{Addr: []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, Auth: clickhouse.Auth{Username: user, Password: password}, ReadTimeout: time.Hour, MaxOpenConns: 4})
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	for range 600 {
		if err = s.conn.Ping(ctx); err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), s.stop())
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil, errors.Join(fmt.Errorf("ClickHouse does not answer: %w", err), s.stop())
}

// stop ends the server by the end of its standard input.
func (s *server) stop() error {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	return errors.Join(s.in.Close(), s.cmd.Wait())
}

func (s *server) machine(ctx context.Context) string {
	var version string
	_ = s.conn.QueryRow(ctx, "SELECT version()").Scan(&version)
	return fmt.Sprintf("ClickHouse %s, %d cores, load average %s", version, runtime.NumCPU(), machine.Load())
}

func (s *server) count(ctx context.Context, table string) (n uint64) {
	_ = s.conn.QueryRow(ctx, "SELECT count() FROM "+table).Scan(&n)
	return n
}

const steps = 10

// generate fills src.spans and src.logs, in order of arrival, when they are not full.
func (s *server) generate(ctx context.Context, o options) error {
	contrib, err := contribTables("src")
	if err != nil {
		return err
	}
	ddl := []string{"CREATE DATABASE IF NOT EXISTS src"}
	for table, name := range map[string]string{"otel_traces": "spans", "otel_logs": "logs"} {
		ddl = append(ddl, strings.Replace(plain(contrib[table]), `"src"."`+table+`"`, "src."+name, 1))
	}
	for _, statement := range ddl {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for _, d := range []struct {
		table, sql string
		rows       int
	}{{"src.spans", spansSQL, o.spans}, {"src.logs", logsSQL, o.logs}} {
		if s.count(ctx, d.table) == uint64(d.rows) {
			continue
		}
		if err := s.conn.Exec(ctx, "TRUNCATE TABLE "+d.table); err != nil {
			return err
		}
		for i := range steps {
			fmt.Fprintf(os.Stderr, "generating %s: %d of %d\n", d.table, i+1, steps)
			from := d.rows / steps * i
			query := strings.NewReplacer("{into}", d.table, "{rows}", fmt.Sprint(d.rows), "{seed}", fmt.Sprint(o.seed), "{offset}", fmt.Sprint(from),
				"{count}", fmt.Sprint(d.rows/steps), "{from}", fmt.Sprint(epoch), "{span_seconds}", fmt.Sprint(days*86400)).Replace(d.sql)
			if err := s.conn.Exec(with(ctx, clickhouse.Settings{"max_partitions_per_insert_block": 1000}, nil), query); err != nil {
				return err
			}
		}
	}
	return nil
}

// The data begins here and covers this many days.
const (
	epoch = 1764000000 // 2025-11-24 16:00 UTC
	days  = 7
)

// cost of a statement, as the server counts it.
type cost struct {
	wall      time.Duration
	cpu       time.Duration
	rows      uint64
	bytes     uint64
	marksRead uint64
}

func with(ctx context.Context, settings clickhouse.Settings, c *cost) context.Context {
	opts := []clickhouse.QueryOption{clickhouse.WithSettings(settings)}
	if c != nil {
		opts = append(opts, clickhouse.WithProfileEvents(func(events []clickhouse.ProfileEvent) {
			for _, e := range events {
				switch {
				case e.Type != "increment" || e.ThreadID != 0:
				case e.Name == "UserTimeMicroseconds" || e.Name == "SystemTimeMicroseconds":
					c.cpu += time.Duration(e.Value) * time.Microsecond
				case e.Name == "SelectedRows":
					c.rows += uint64(e.Value)
				case e.Name == "SelectedBytes":
					c.bytes += uint64(e.Value)
				case e.Name == "SelectedMarks":
					c.marksRead += uint64(e.Value)
				}
			}
		}))
	}
	return clickhouse.Context(ctx, opts...)
}
