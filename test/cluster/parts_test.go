// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/go-faster/city"
)

// partsProtocol is the newest version of DataPartsExchange that this file speaks.
const partsProtocol = 9

// partSender is what ClickHouse's server has on interserver_http_port: other replicas fetch parts from it.
type partSender struct{ conn driver.Conn }

func (s *partSender) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.send(w, r); err != nil {
		// Before the first byte it is an answer, after it a broken connection: the receiver tries again in both cases.
		http.Error(w, err.Error(), http.StatusInternalServerError)
		panic(http.ErrAbortHandler)
	}
}

func (s *partSender) send(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	replica, ok := strings.CutPrefix(q.Get("endpoint"), "DataPartsExchange:")
	version, err := strconv.Atoi(q.Get("client_protocol_version"))
	if !ok || err != nil || version < partsProtocol {
		return fmt.Errorf("not understood: %s", r.URL)
	}
	dir, kind, err := s.find(r.Context(), replica, q.Get("part"))
	if err != nil {
		return err
	}
	files, total, err := list(dir)
	if err != nil {
		return err
	}
	ttl, err := os.ReadFile(filepath.Join(dir, "ttl.txt"))
	if errors.Is(err, os.ErrNotExist) {
		ttl, err = []byte("ttl format version: 1\n{}"), nil
	}
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{Name: "server_protocol_version", Value: strconv.Itoa(partsProtocol)})
	out := bufio.NewWriterSize(w, 1<<20)
	number(out, uint64(total))
	text(out, string(ttl))
	text(out, kind)
	_, _ = out.WriteString("00000000-0000-0000-0000-000000000000")
	number(out, 0) // projections
	number(out, uint64(len(files)))
	for _, name := range files {
		if err := sendFile(out, dir, name); err != nil {
			return err
		}
	}
	return out.Flush()
}

func (s *partSender) find(ctx context.Context, replica, part string) (dir, kind string, err error) {
	err = s.conn.QueryRow(ctx, `SELECT p.path, p.part_type FROM system.parts AS p
INNER JOIN system.replicas AS r ON r.database = p.database AND r.table = p.table WHERE r.replica_path = ? AND p.name = ?`, replica, part).Scan(&dir, &kind)
	if err != nil {
		return "", "", fmt.Errorf("no part %s of %s: %w", part, replica, err)
	}
	return dir, kind, nil
}

// list returns what a part consists of. txn_version.txt is of no one but this server.
func list(dir string) (names []string, total int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || e.Name() == "txn_version.txt" {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, 0, err
		}
		names = append(names, e.Name())
		total += info.Size()
	}
	if !slices.Contains(names, "checksums.txt") {
		return nil, 0, fmt.Errorf("%s is no part", dir)
	}
	return names, total, nil
}

func sendFile(out *bufio.Writer, dir, name string) error {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	text(out, name)
	number(out, uint64(len(data)))
	if _, err := out.Write(data); err != nil {
		return err
	}
	sum := hash(data)
	number(out, sum.Low)
	number(out, sum.High)
	return nil
}

// hash is ClickHouse's of a stream: of blocks, each with that of the one before as its seed.
func hash(data []byte) (sum city.U128) {
	const block = 2048
	for len(data) >= block {
		sum = city.CH128Seed(data[:block], sum)
		data = data[block:]
	}
	if len(data) > 0 {
		sum = city.CH128Seed(data, sum)
	}
	return sum
}

func number(out io.Writer, n uint64) {
	_, _ = out.Write(binary.LittleEndian.AppendUint64(nil, n))
}

func text(out io.Writer, s string) {
	_, _ = out.Write(binary.AppendUvarint(nil, uint64(len(s))))
	_, _ = io.WriteString(out, s)
}
