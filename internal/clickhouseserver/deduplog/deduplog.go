// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package deduplog mends what the end of a ClickHouse process can leave in the deduplication logs of its MergeTree tables.
//
// An insert into such a table writes its block id (of insert_deduplication_token) to the table's deduplication log first, and then renames
// the part that it has written to the name that makes it one of the table. A process that is killed in between leaves a block id without
// the rows: the next process takes the repetition of the insert for a duplicate, and the rows are lost. The same goes for each materialized
// view of the table.
//
// So, while no process runs, each block id whose part is not there, and in no merged part either, is taken back by a DROP record, which is
// what ClickHouse itself writes when it drops a part. A part may also have gone because its rows expired: then a repetition inserts rows
// that expire at once.
//
// The log is text (MergeTreeDeduplicationLog.cpp): a line is an operation (1 add, 2 drop), a part's name and a block id, with tabs between.
package deduplog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	folder = "deduplication_logs"
	prefix = "deduplication_log_" // and a number, and .txt

	add, drop = "1", "2"

	// tail is how many lines are looked at. What was under way when a process ended is among the last few: an insert has one for each
	// partition, of which it may touch 100.
	tail = 1000
)

// Mend goes through all tables below ClickHouse's data folder and returns how many block ids it has taken back. No ClickHouse may run on the
// folder. What can't be read or written is left as it is, and told in the error, with the rest done.
func Mend(data string) (taken int, err error) {
	logs, err := filepath.Glob(filepath.Join(data, "store", "*", "*", folder))
	if err != nil {
		return 0, err
	}
	for _, dir := range logs {
		n, tableErr := mendTable(dir)
		taken += n
		err = errors.Join(err, tableErr)
	}
	return taken, err
}

func mendTable(dir string) (int, error) {
	names, err := logsOf(dir)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	lines, err := newest(names)
	if err != nil {
		return 0, err
	}
	parts := map[string]part{} // by block id
	for _, line := range lines {
		field := strings.Split(line, "\t")
		if len(field) != 3 {
			return 0, fmt.Errorf("%s: not a line of a deduplication log: %q", dir, line)
		}
		p, ok := parsePart(field[1])
		switch {
		case field[0] == drop:
			delete(parts, field[2])
		case field[0] == add && ok:
			parts[field[2]] = p
		default:
			return 0, fmt.Errorf("%s: not a line of a deduplication log: %q", dir, line)
		}
	}
	there, err := partsIn(filepath.Dir(dir))
	if err != nil {
		return 0, err
	}
	var lost []string
	for id, p := range parts {
		if !slices.ContainsFunc(there[p.partition], p.in) {
			lost = append(lost, drop+"\t"+p.name+"\t"+id+"\n")
		}
	}
	if len(lost) == 0 {
		return 0, nil
	}
	slices.Sort(lost)
	return len(lost), appendTo(names[len(names)-1], strings.Join(lost, ""))
}

// newest returns the last lines of all logs, the oldest first.
func newest(names []string) (lines []string, err error) {
	for _, name := range slices.Backward(names) {
		if len(lines) == tail {
			break
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		whole := text[:bytes.LastIndexByte(text, '\n')+1]
		if len(whole) < len(text) { // its end was cut off, and ClickHouse would append to the half line
			if err := os.Truncate(name, int64(len(whole))); err != nil {
				return nil, err
			}
		}
		from := len(whole)
		for from > 0 && len(lines) < tail {
			end := from - 1
			from = bytes.LastIndexByte(whole[:end], '\n') + 1
			lines = append(lines, string(whole[from:end]))
		}
	}
	slices.Reverse(lines)
	return lines, nil
}

// logsOf returns the logs of a table, the oldest first.
func logsOf(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, prefix+"*.txt"))
	number := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), prefix), ".txt"))
		return n
	}
	slices.SortFunc(names, func(a, b string) int { return number(a) - number(b) })
	return names, err
}

// part is what the name of a part says: partition_first_last_level, and _mutation behind it.
type part struct {
	name, partition string
	first, last     uint64
}

// in reports whether other is the part, or was merged from it.
func (p part) in(other part) bool { return other.first <= p.first && p.last <= other.last }

func parsePart(name string) (part, bool) {
	field := strings.Split(name, "_")
	if len(field) != 4 && len(field) != 5 {
		return part{}, false
	}
	var n [4]uint64
	for i, text := range field[1:] {
		var err error
		if n[i], err = strconv.ParseUint(text, 10, 64); err != nil {
			return part{}, false
		}
	}
	return part{name, field[0], n[0], n[1]}, true
}

// partsIn returns the parts of a table by partition. Names that begin with tmp_ and the like are not of parts.
func partsIn(table string) (map[string][]part, error) {
	entries, err := os.ReadDir(table)
	if err != nil {
		return nil, err
	}
	parts := map[string][]part{}
	for _, e := range entries {
		if p, ok := parsePart(e.Name()); ok && e.IsDir() {
			parts[p.partition] = append(parts[p.partition], p)
		}
	}
	return parts, nil
}

func appendTo(name, text string) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.Sync()
}
