// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseingestreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/proto"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumererror"

	"github.com/tailrace/tailrace/internal/ingest"
	"github.com/tailrace/tailrace/internal/insert"
	"github.com/tailrace/tailrace/internal/segment"
)

func TestErrorsAreClassifiedThroughTheirWrapping(t *testing.T) {
	exception := func(code int32, message string) error {
		return fmt.Errorf("traces insert failed: %w", &proto.Exception{Code: code, Message: message})
	}
	for name, c := range map[string]struct {
		err  error
		want ingest.Class
		says string
	}{
		"the consumer's word":   {consumererror.NewPermanent(exception(241, "")), ingest.Permanent, ""},
		"another consumer's":    {errors.New("not today"), ingest.Heals, ""},
		"refused connection":    {fmt.Errorf("dial: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), ingest.Heals, insert.NameAway},
		"cut off":               {fmt.Errorf("read: %w", io.EOF), ingest.Heals, insert.NameAway},
		"the exporter's time":   {fmt.Errorf("x: %w", context.DeadlineExceeded), ingest.Heals, ""},
		"too many parts":        {exception(252, "Too many parts (300 with average size"), ingest.Heals, "too many parts"},
		"too many partitions":   {exception(252, "Too many partitions for single INSERT block (more than 100)"), ingest.Refused, insert.NameManyPartitions},
		"memory of the server":  {exception(241, "(total) memory limit exceeded"), ingest.Heals, "memory limit"},
		"memory of the query":   {exception(241, "Query memory limit exceeded: would use"), ingest.Doubtful, insert.NameTooLarge},
		"a view":                {exception(469, "Constraint `c` is violated: while pushing to view default.v"), ingest.Heals, insert.NameView},
		"a constraint":          {exception(469, "Constraint `c` is violated"), ingest.Refused, "constraint"},
		"unknown":               {exception(4711, "what"), ingest.Doubtful, "4711"},
		"the client":            {fmt.Errorf("failed to append: %w", &proto.BlockError{Op: "AppendRow", Err: errors.New("x")}), ingest.Refused, "converted"},
		"two tables, one away":  {errors.Join(exception(469, ""), nil, exception(60, "")), ingest.Heals, "table is missing"},
		"two tables, one doubt": {errors.Join(exception(469, ""), exception(4711, "")), ingest.Doubtful, "4711"},
	} {
		class, says := classify(c.err)
		assert.Equal(t, c.want, class, name)
		assert.Contains(t, says, c.says, name)
	}
}

func TestTheTableInTheReadmeIsTheOneInTheCode(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, section, ok := strings.Cut(string(text), "### What ClickHouse answers")
	require.True(t, ok)
	section, _, ok = strings.Cut(section, "\nRepeated means")
	require.True(t, ok)
	documented := map[int32]ingest.Class{}
	for row := range strings.Lines(section) {
		class := ingest.Heals
		switch {
		case !strings.HasPrefix(row, "|"), strings.Contains(row, "every other code"):
			continue
		case strings.Contains(row, "taken apart"):
			class = ingest.Refused
		}
		for _, list := range regexp.MustCompile(`\((\d+(?:, \d+)*)\)`).FindAllStringSubmatch(row, -1) {
			for _, n := range strings.Split(list[1], ", ") {
				code, err := strconv.Atoi(n)
				require.NoError(t, err)
				if code == insert.TooManyParts && class == ingest.Refused {
					continue // told apart by its message
				}
				documented[int32(code)] = class
			}
		}
	}
	codes := insert.Codes()
	for number, c := range codes {
		class, ok := documented[number]
		if !assert.True(t, ok, "code %d is not in the README", number) {
			continue
		}
		assert.Equal(t, classes[c.Class], class, "code %d", number)
	}
	assert.Len(t, documented, len(codes))
}

func TestWhatHealsIsRepeatedAndNothingGoesToFailed(t *testing.T) {
	server, host := store(t)
	conn := server.Conn()
	exec := func(queries ...string) {
		for _, q := range queries {
			require.Eventually(t, func() bool { return conn.Exec(t.Context(), q) == nil }, time.Minute, 50*time.Millisecond, q)
		}
	}
	dir := t.TempDir()
	startWith(t, dir, host, exporter{conn: conn}, nil)
	n := 0
	more := func() {
		file(t, dir, segment.Logs, "p", recordLines(segment.Logs, fmt.Sprintf("part%d", n), 50))
		n += 50
	}
	more()
	exactly(t, conn, "otel_logs", "Body", n)

	exec("SYSTEM STOP MERGES tailrace.otel_logs", "ALTER TABLE tailrace.otel_logs MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1")
	more()
	require.Error(t, conn.Exec(t.Context(), "INSERT INTO tailrace.otel_logs (Timestamp, Body) VALUES ('2026-03-01', 'x')"), "too many parts")
	exec("ALTER TABLE tailrace.otel_logs RESET SETTING parts_to_delay_insert, parts_to_throw_insert", "SYSTEM START MERGES tailrace.otel_logs")
	exactly(t, conn, "otel_logs", "Body", n)

	server.Kill()
	more()
	server.Run()
	exactly(t, conn, "otel_logs", "Body", n)

	exec("DROP TABLE tailrace.otel_logs SYNC") // the store creates it again
	lost := n
	more()
	require.Eventually(t, func() bool { return rows(t, conn, "otel_logs", "Body")[1] == uint64(n-lost) }, time.Minute, 50*time.Millisecond)
	failed, _ := failedRecords(t, dir)
	assert.Zero(t, failed)
}
