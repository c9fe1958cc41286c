// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"text/template"
	"time"

	"github.com/tailrace/tailrace/bench/agentdata"
)

var (
	//go:embed product.tmpl.yaml
	productYAML string
	//go:embed peer.tmpl.yaml
	peerYAML string

	productConfig = template.Must(template.New("product").Parse(productYAML))
	peerConfig    = template.Must(template.New("peer").Parse(peerYAML))
)

// way is a column of the contest: who does it, and how.
type way struct {
	name, sync string
	peer       bool
	contrib    bool // the product with contrib's clickhouse exporter
	delay      string
}

var (
	product      = way{name: "tailrace", sync: "write"}
	productBatch = way{name: "tailrace, sync: batch", sync: "batch"}
	// productContrib shows what the exporter is worth.
	productContrib = way{name: "tailrace, contrib's clickhouse", sync: "write", contrib: true}
	// Others show what freshness costs.
	productSoon = way{name: "tailrace, max_delay: 100ms", sync: "write", delay: "100ms"}
	productLate = way{name: "tailrace, max_delay: 250ms", sync: "write", delay: "250ms"}
	peer        = way{name: "file + otlp_json_file + clickhouse", peer: true}
)

func (w way) database() string {
	if w.peer {
		return "peer"
	}
	return "tailrace"
}

// table is where a signal's rows are, and what is different in each of them.
func (w way) table(signal string) (table, key string) {
	if signal == spans {
		return w.database() + ".otel_traces", "SpanId"
	}
	return w.database() + ".otel_logs", "LogAttributes['seq']"
}

// bench is what all stages share.
type bench struct {
	ctx         context.Context // of the one run of the command
	build, dir  string
	connections int
	stall       time.Duration // without a new row for so long, what is missing is lost
}

// settings fill the templates.
type settings struct {
	Write, Load, Fresh         bool
	Contrib                    bool
	Delay                      string
	Signals                    []string
	Files, Sync                string
	OTLP, MetricsPort          string
	ClickHouse, Database       string
	Password                   string
	Profile, PprofAddress, dir string
}

// collector starts a way's collector with the given settings, to which it adds the addresses.
func (b *bench) collector(w way, s *settings) (*process, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	s.OTLP, s.PprofAddress, s.MetricsPort = loopback(ports[0]), loopback(ports[1]), strconv.Itoa(ports[2])
	s.Sync, s.Database, s.Password, s.Contrib, s.Delay = w.sync, w.database(), password, w.contrib, w.delay
	t, binary := productConfig, filepath.Join(b.build, "tailrace")
	if w.peer {
		t, binary = peerConfig, filepath.Join(b.build, "peer", "peer")
	}
	var yaml bytes.Buffer
	if err := t.Execute(&yaml, s); err != nil {
		return nil, err
	}
	config := filepath.Join(s.dir, "collector.yaml")
	if err := errors.Join(os.MkdirAll(s.Files, 0o750), os.WriteFile(config, yaml.Bytes(), 0o600)); err != nil {
		return nil, err
	}
	p, err := start(filepath.Join(s.dir, "collector.log"), exec.Command(binary, "--config", config))
	if err == nil && s.Write {
		if err = p.until(b.ctx, "OTLP is accepted", func() bool { return post(b.ctx, s.OTLP, s.Signals[0], nil) == nil }); err != nil {
			p.kill()
		}
	}
	return p, err
}

// fresh returns a new folder for one run and what removes it. The disk is quiet afterwards.
func (b *bench) fresh() (string, func(), error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	syscall.Sync()
	return dir, func() { _ = os.RemoveAll(dir) }, err
}

// write measures OTLP in → files. The files stay in the given folder.
func (b *bench) write(w way, d agentdata.Data, files, profile string) (m measure, err error) {
	dir, remove, err := b.fresh()
	if err != nil {
		return m, err
	}
	defer remove()
	s := settings{Write: true, Signals: []string{d.Signal}, Files: files, Profile: profile, dir: dir}
	p, err := b.collector(w, &s)
	if err != nil {
		return m, err
	}
	defer p.kill()
	before, begin := p.cpu(), time.Now()
	if err := b.postAll(s.OTLP, d); err != nil {
		return m, p.failed(err)
	}
	m.timed(time.Since(begin), d)
	cpu, peak, err := p.stop()
	if err != nil {
		return m, err
	}
	m.Collector, m.Peak = perMillion(cpu-before, d.Records), peak
	count, size, err := inspect(files, d.Signal)
	m.Lost, m.Doubled = max(0, int64(d.Records)-count), max(0, count-int64(d.Records))
	m.BytesOnDisk = float64(size) / float64(d.Records)
	return m, err
}

// load measures files → rows. The backlog is hard-linked, so that the next run finds it unchanged.
func (b *bench) load(w way, d agentdata.Data, backlog, profile string, sizes bool, then func(*server) error) (m measure, err error) {
	dir, remove, err := b.fresh()
	if err != nil {
		return m, err
	}
	defer remove()
	s := settings{Load: true, Signals: []string{d.Signal}, Files: filepath.Join(dir, "files"), Profile: profile, dir: dir}
	ch, err := startClickHouse(b.ctx, b.build, filepath.Join(dir, "clickhouse"))
	if err != nil {
		return m, err
	}
	defer ch.kill()
	s.ClickHouse = ch.tcp
	p, err := b.collector(w, &s)
	if err != nil {
		return m, err
	}
	defer p.kill()
	if err := b.tables(w, s, p, ch); err != nil {
		return m, err
	}
	before, server, begin := p.cpu(), ch.cpu(), time.Now()
	if err := link(backlog, s.Files); err != nil {
		return m, err
	}
	if err := b.countable(&m, w, p, ch, d, begin, server, nil); err != nil {
		return m, err
	}
	if err := b.verify(&m, w, p, ch, d, before); err != nil {
		return m, err
	}
	if sizes {
		table, _ := w.table(d.Signal)
		if err := ch.exec(b.ctx, "OPTIMIZE TABLE "+table+" FINAL"); err != nil {
			return m, err
		}
		name := strings.TrimPrefix(table, w.database()+".")
		n, err := ch.numbers(b.ctx, "SELECT sum(bytes_on_disk), sum(data_compressed_bytes), sum(rows) FROM system.parts WHERE active AND database = '"+
			w.database()+"' AND table = '"+name+"'")
		if err != nil {
			return m, err
		}
		m.BytesInTable, m.BytesOfColumns = float64(n[0])/float64(n[2]), float64(n[1])/float64(n[2])
	}
	if then != nil {
		return m, then(ch)
	}
	return m, nil
}

// tables waits until those of the signals are there, and the view that the product makes last.
func (b *bench) tables(w way, s settings, p *process, ch *server) error {
	var all []string
	for _, signal := range s.Signals {
		table, _ := w.table(signal)
		all = append(all, table)
	}
	if !w.peer {
		all = append(all, w.database()+".log_counts_hourly")
	}
	for _, table := range all {
		if err := p.until(b.ctx, table+" exists", func() bool { return ch.exec(b.ctx, "SELECT 1 FROM "+table+" LIMIT 0") == nil }); err != nil {
			return err
		}
	}
	return nil
}

// chain measures OTLP in → files → rows, at full speed.
func (b *bench) chain(w way, d agentdata.Data) (m measure, err error) {
	err = b.whole(w, settings{Signals: []string{d.Signal}}, func(p *process, ch *server, address string) error {
		sent := make(chan error, 1)
		before, server, begin := p.cpu(), ch.cpu(), time.Now()
		go func() { sent <- b.postAll(address, d) }()
		if err := b.countable(&m, w, p, ch, d, begin, server, sent); err != nil {
			return err
		}
		return b.verify(&m, w, p, ch, d, before)
	})
	return m, err
}

// whole runs both halves of a way on a ClickHouse of its own, and hands them over when all is ready.
func (b *bench) whole(w way, s settings, use func(p *process, ch *server, address string) error) error {
	dir, remove, err := b.fresh()
	if err != nil {
		return err
	}
	defer remove()
	ch, err := startClickHouse(b.ctx, b.build, filepath.Join(dir, "clickhouse"))
	if err != nil {
		return err
	}
	defer ch.kill()
	s.Write, s.Load, s.Files, s.ClickHouse, s.dir = true, true, filepath.Join(dir, "files"), ch.tcp, dir
	p, err := b.collector(w, &s)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := b.tables(w, s, p, ch); err != nil {
		return err
	}
	return use(p, ch, s.OTLP)
}

// countable waits until all rows are there, or no new one comes any more; sent, if any, tells when the sender is ready.
func (b *bench) countable(m *measure, w way, p *process, ch *server, d agentdata.Data, begin time.Time, server float64, sent <-chan error) error {
	table, _ := w.table(d.Signal)
	rows, last := int64(0), begin
	for rows < int64(d.Records) && time.Since(last) < b.stall {
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-p.done:
			return p.failed(errors.New("ended while it was measured"))
		case err := <-sent:
			if err != nil {
				return p.failed(err)
			}
			sent = nil
		case <-time.After(100 * time.Millisecond): // each look costs ClickHouse 2 ms
		}
		n, err := ch.numbers(b.ctx, "SELECT count() FROM "+table)
		if err == nil && n[0] > rows { // until the table is there it is an error
			rows, last = n[0], time.Now()
		}
	}
	if rows == 0 {
		return p.failed(errors.New("no row came"))
	}
	m.timed(last.Sub(begin), agentdata.Data{Records: int(rows), Bytes: d.Bytes * rows / int64(d.Records)})
	m.ClickHouse = perMillion(ch.cpu()-server, d.Records)
	return nil
}

// verify stops the collector and counts what was sent, lost and doubled.
func (b *bench) verify(m *measure, w way, p *process, ch *server, d agentdata.Data, before float64) error {
	cpu, peak, err := p.stop()
	if err != nil {
		return err
	}
	m.Collector, m.Peak = perMillion(cpu-before, d.Records), peak
	table, key := w.table(d.Signal)
	n, err := ch.numbers(b.ctx, "SELECT count(), uniqExact("+key+") FROM "+table)
	if err != nil {
		return err
	}
	m.Lost, m.Doubled = int64(d.Records)-n[1], n[0]-n[1]
	return nil
}

// post sends one request; a refusal is an error.
func post(ctx context.Context, address, signal string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/"+signal, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	message, _ := io.ReadAll(resp.Body)
	if resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusTooManyRequests {
		return errBusy
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("OTLP: %s: %s", resp.Status, message)
	}
	return nil
}

var errBusy = errors.New("OTLP: refused for now")

// postAll sends all requests over some connections, and repeats what is refused for now, as SDKs do.
func (b *bench) postAll(address string, d agentdata.Data) error {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make([]error, b.connections)
	for c := range b.connections {
		group.Go(func() {
			for failed[c] == nil {
				i := int(next.Add(1)) - 1
				if i >= len(d.Requests) {
					return
				}
				err := post(b.ctx, address, d.Signal, d.Requests[i])
				for errors.Is(err, errBusy) && b.ctx.Err() == nil {
					time.Sleep(20 * time.Millisecond)
					err = post(b.ctx, address, d.Signal, d.Requests[i])
				}
				failed[c] = err
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// inspect counts the records and bytes of JSONL files.
func inspect(dir, signal string) (records, size int64, err error) {
	mark := []byte(`"spanId":"`)
	if signal == logs {
		mark = []byte(`"timeUnixNano":"`)
	}
	err = eachFile(dir, func(path string) error {
		raw, err := os.ReadFile(path)
		records += int64(bytes.Count(raw, mark))
		size += int64(len(raw))
		return err
	})
	return records, size, err
}

func eachFile(dir string, f func(path string) error) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, ".jsonl") {
			return err
		}
		return f(path)
	})
}

func link(from, to string) error {
	return eachFile(from, func(path string) error {
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o750), os.Link(path, target))
	})
}
