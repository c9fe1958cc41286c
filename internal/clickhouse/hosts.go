// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Hosts finds the hosts of a cluster where the servers' configuration names them, and keeps a connection to each.
// It is safe for concurrent use.
type Hosts struct {
	server  Server
	cluster string
	timeout time.Duration // of a host's answer
	dials   *dialer

	mu    sync.Mutex
	conns map[string]driver.Conn
}

// NewHosts opens no connection yet.
func NewHosts(server Server, cluster string, timeout time.Duration) *Hosts {
	return &Hosts{server: server, cluster: cluster, timeout: timeout, dials: new(dialer), conns: map[string]driver.Conn{}}
}

// host is one server of a cluster.
type host struct {
	shard, replica uint32
	addr           string
	conn           driver.Conn
	err            error // why it does not answer; nil: it does
}

func (h host) String() string {
	return fmt.Sprintf("%s (shard %d, replica %d)", h.addr, h.shard, h.replica)
}

// find asks a server for the hosts of the cluster, and each of them whether it is there. They are in the order of shards and replicas.
func (h *Hosts) find(ctx context.Context, server driver.Conn) ([]host, error) {
	var all []host
	err := each(ctx, server, func(rows driver.Rows) error {
		var one host
		var name string
		var port uint16
		if err := rows.Scan(&one.shard, &one.replica, &name, &port); err != nil {
			return err
		}
		one.addr = net.JoinHostPort(name, strconv.Itoa(int(port)))
		all = append(all, one)
		return nil
	}, "SELECT shard_num, replica_num, host_name, port FROM system.clusters WHERE cluster = ? ORDER BY shard_num, replica_num", h.cluster)
	if err != nil {
		return nil, fmt.Errorf("look for the hosts of cluster %s: %w", h.cluster, err)
	}
	if len(all) == 0 {
		return nil, &RefusedError{fmt.Sprintf("cluster::name: the server at %s knows no cluster %s; add it to remote_servers of every server's configuration, or name one of SELECT DISTINCT cluster FROM system.clusters",
			h.server.Endpoint, h.cluster)}
	}
	var asked sync.WaitGroup
	for i := range all {
		asked.Go(func() { all[i].conn, all[i].err = h.reach(ctx, all[i].addr) })
	}
	asked.Wait()
	return all, ctx.Err()
}

func (h *Hosts) reach(ctx context.Context, addr string) (driver.Conn, error) {
	conn, err := h.conn(addr)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, h.timeout)
	defer stop()
	return conn, conn.Ping(ctx)
}

func (h *Hosts) conn(addr string) (driver.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if conn, ok := h.conns[addr]; ok {
		return conn, nil
	}
	// As the servers speak to each other, also where the endpoint is HTTP.
	conn, err := h.server.openAt(2, h.timeout, h.dials, func(o *clickhouse.Options) { o.Protocol, o.Addr = clickhouse.Native, []string{addr} })
	if err == nil {
		h.conns[addr] = conn
	}
	return conn, err
}

// Close closes the connections.
func (h *Hosts) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs error
	for _, conn := range h.conns {
		errs = errors.Join(errs, conn.Close())
	}
	clear(h.conns)
	return errs
}
