// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package clickhouseserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// version is year, month and patch of a ClickHouse release, e.g. 26, 7, 2.
type version [3]int

// oldest is the first release whose `clickhouse local` can listen.
var oldest = version{26, 5, 0}

var versionPattern = regexp.MustCompile(`\b(\d{2})\.(\d{1,2})\.(\d{1,4})\b`)

func parseVersion(text string) (version, bool) {
	m := versionPattern.FindStringSubmatch(text)
	if m == nil {
		return version{}, false
	}
	var v version
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1])
	}
	return v, true
}

// before compares release lines: a data folder can be read by every patch of the release that wrote it.
func (v version) before(w version) bool {
	return v[0] < w[0] || v[0] == w[0] && v[1] < w[1]
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// record is engine.json. Version is the release that wrote the folder last. Image, Size and Modified
// (Unix nanoseconds) identify the engine's file, so that an unchanged one need not be asked for its version.
type record struct {
	Version  string `json:"version"`
	Image    string `json:"image"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`
}

func newRecord(e engine, v string) (record, error) {
	info, err := os.Stat(e.image())
	if err != nil {
		return record{}, err
	}
	return record{Version: v, Image: e.image(), Size: info.Size(), Modified: info.ModTime().UnixNano()}, nil
}

func readRecord(path string) (record, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		// Only a hint is lost: ClickHouse itself protects its folder.
		return record{}, nil
	}
	return r, nil
}

func (r record) write(path string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writePrivate(path, append(data, '\n'))
}

// askTimeout bounds the call of an engine for its version; loading the library from a cold disk takes long.
const askTimeout = 1500 * time.Millisecond

// versionOf asks the engine, or the record when it is about this very file.
func versionOf(e engine, known record, getenv func(string) string) (version, error) {
	if now, err := newRecord(e, known.Version); err == nil && now == known {
		if v, ok := parseVersion(known.Version); ok {
			return v, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.program, append(append([]string{}, e.subcommand...), "--version")...)
	cmd.Env = e.environment(getenv)
	cmd.WaitDelay = 100 * time.Millisecond
	out, err := cmd.CombinedOutput()
	if v, ok := parseVersion(string(out)); ok {
		return v, nil
	}
	if ctx.Err() != nil {
		return version{}, ctx.Err()
	}
	if err == nil {
		err = fmt.Errorf("its answer has no version: %.200q", out)
	}
	return version{}, err
}

// choose takes the first candidate that can do the work on this folder, or says why none can.
func choose(candidates []engine, l layout, getenv func(string) string) (engine, error) {
	known, err := readRecord(l.record)
	if err != nil {
		return engine{}, fmt.Errorf("path: %w", err)
	}
	folder, hasFolder := parseVersion(known.Version)
	var problems error
	for _, e := range candidates {
		if !hasFolder && e.library != "" {
			return e, nil // a library has always been new enough, and there is nothing to compare with
		}
		v, err := versionOf(e, known, getenv)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return e, nil // slow is not wrong: ClickHouse will speak for itself
		case err != nil:
			problems = errors.Join(problems, fmt.Errorf("%s does not tell its version (%w): set `binary` to a clickhouse of release %d.%d or newer", e.program, err, oldest[0], oldest[1]))
		case v.before(oldest):
			problems = errors.Join(problems, fmt.Errorf("%s is ClickHouse %s, and can not listen: release %d.%d or newer is needed; update it, set `binary` to another, or run `make clickhouse` for the library", e.program, v, oldest[0], oldest[1]))
		case hasFolder && v.before(folder):
			problems = errors.Join(problems, fmt.Errorf("path: the data in %s was written by ClickHouse %s, and %s is the older %s, which can not read it safely: "+
				"use ClickHouse %d.%d or newer (`binary`, or `make clickhouse` for the library), or set `path` to another folder", l.root, folder, e.image(), v, folder[0], folder[1]))
		default:
			return e, nil
		}
	}
	return engine{}, problems
}
